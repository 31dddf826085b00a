"""Run PostgreSQL's own programs on a data folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from project.postgres.errors import DatabaseUnreachable
from project.postgres.runtime import PORT

if TYPE_CHECKING:
    from pathlib import Path

    from project.postgres.account import Account

SUPERUSER = "postgres"

# Besides these, PostgreSQL's own defaults: all that makes it durable stays on.
_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "log_checkpoints": "off",
    "cluster_name": "joblogs",
}
_INHERITED = ("PATH", "TZ", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Cluster:
    """A data folder and what it takes to run PostgreSQL on it.

    `lock` is the descriptor that the programs inherit and hold for as long as they live, and
    `log` the one they write to.
    """

    data: Path
    installation: Path
    account: Account
    lock: int
    log: int

    def create(self) -> None:
        """Make the data folder, or nothing: it gets its name when it is complete."""
        new = self.data.with_name("data.new")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        self.account.take(new)
        initdb: list[str | Path] = [
            self.installation / "bin" / "initdb",
            f"--pgdata={_name_of(new)}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ]
        if self._run(initdb, folder=new).returncode:
            raise DatabaseUnreachable("initdb failed")
        new.rename(self.data)

    def start(self, socket_folder: Path) -> None:
        """Start the server and return at once; it outlives this process and its terminal.

        No server may run on the data folder: a leftover postmaster.pid is removed, as it could
        be half-written or name a process id that is somebody else's by now.
        """
        self.account.take_tree(self.data)
        self.data.chmod(0o700)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        settings = _SETTINGS | {"unix_socket_directories": str(socket_folder)}
        postgres: list[str | Path] = [
            self.installation / "bin" / "postgres",
            "-D",
            _name_of(self.data),
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        # By way of a shell that exits: the server must not become a zombie of this process.
        self._run(["/bin/sh", "-c", '"$0" "$@" &', *postgres], folder=self.data)

    def _run(self, command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[bytes]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return subprocess.run(  # noqa: S603 (our own programs)
            command,
            **self.account.run_as,
            cwd=folder,
            env=inherited | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            pass_fds=[self.lock],
            start_new_session=True,
            check=False,
        )


def _name_of(data: Path) -> str:
    # On Linux by way of the working directory: the account need not be able to enter the folders
    # above, which may be root's alone, and no path is too long.
    return "/proc/self/cwd" if sys.platform == "linux" else str(data)
