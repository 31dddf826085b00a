"""The private folder, outside the checkout, that holds the server's socket.

Socket paths end at 107 bytes (103 on macOS) and libpq reads commas in them as lists, so a
checkout's own path will not do.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from project.postgres import binaries

if TYPE_CHECKING:
    from project.postgres.account import Account

PORT = 5432
_PREFIX = "joblogs-"
_LONGEST_SOCKET_PATH = 103
_PLAIN = re.compile(r"/[A-Za-z0-9_./+-]*")


def socket_of(folder: Path) -> Path:
    return folder / f".s.PGSQL.{PORT}"


def recorded(record: Path, uid: int) -> Path | None:
    """Return the folder that `record` names, if it is there and private to `uid`."""
    try:
        folder = Path(record.read_text())
        status = folder.lstat()
    except (OSError, ValueError):
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & 0o077
    return folder if private else None


def make(record: Path, account: Account) -> Path:
    """Make a folder that `account` can use, and write its path into `record`."""
    for parent in _candidates():
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError:
            continue
        account.take(folder)
        if _can_enter(folder, account):
            new = record.with_suffix(".new")
            new.write_text(str(folder))
            new.replace(record)
            return folder
        folder.rmdir()
    raise ImproperlyConfigured(
        f"No folder for the database's socket: {', '.join(_candidates())} cannot be used. "
        "Set TMPDIR to a writable folder with a short path, or set DATABASE_URL."
    )


def clear(folder: Path) -> None:
    """Remove what a server that was killed left in its folder."""
    for path in folder.glob(".s.PGSQL.*"):
        path.unlink()


def usable_installation(folder: Path, account: Account) -> Path:
    """Return PostgreSQL's programs where `account` can run them, copied here if need be.

    Root's checkout may be in a folder that nobody else may enter; it stays that way.
    """
    installation = binaries.find_installation()
    if not account.switch or binaries.runs(installation, account):
        return installation
    # Not into the folder, which is the account's: root's own, which the account may only read.
    return binaries.copy_installation(installation, folder.with_name(f"{folder.name}-programs"))


def _candidates() -> list[str]:
    example = f"/{_PREFIX}12345678/{socket_of(Path()).name}"
    return [
        parent
        for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"))  # noqa: S108 (mkdtemp)
        if _PLAIN.fullmatch(parent) and len(os.fsencode(parent + example)) <= _LONGEST_SOCKET_PATH
    ]


def _can_enter(folder: Path, account: Account) -> bool:
    if not account.switch:
        return True
    # The programs may have to be copied there, see usable_installation().
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    test = ["/bin/sh", "-c", 'test -w "$0" && test -x "$0"', str(folder)]
    result = subprocess.run(test, **account.run_as, cwd="/", check=False)  # noqa: S603 (sh)
    return result.returncode == 0
