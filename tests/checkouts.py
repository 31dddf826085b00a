"""Copies of the code, each with an embedded server of its own, and what runs in them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from project.postgres.embedded import EmbeddedPostgres
from tests.forking import ROOT
from tests.processes import run_forked

if TYPE_CHECKING:
    import subprocess

CODE = ("manage.py", "project", "accounts", "joblogs", "templates", "pyproject.toml")
# What would lead a command away from its checkout's own server and settings.
_FOREIGN = {"DATABASE_URL", "SECRET_KEY", "DEBUG", "HTTPS", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"}


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN} | more


def processes_in(folder: Path) -> dict[int, str]:
    """Return the live processes that work in the folder: their ids and command lines."""
    found = {}
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(process.name)] = command.decode(errors="replace")
    return found


class Checkout:
    """A copy of the code, which has an embedded server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in CODE:
            if (ROOT / name).is_dir():
                # What another process compiles just now has such a name for a moment.
                unfinished = shutil.ignore_patterns("*.pyc.*")
                shutil.copytree(ROOT / name, folder / name, ignore=unfinished)
            else:
                shutil.copy(ROOT / name, folder / name)
        self.server = EmbeddedPostgres(folder / ".postgres")

    def manage(
        self, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        env = environment() if env is None else env
        return run_forked("manage.py", *arguments, cwd=self.folder, env=env)
