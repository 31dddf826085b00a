"""PgBouncer in front of the tests' PostgreSQL, each transaction on whatever connection is free."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import connection

from tests.ports import free_port
from tests.waiting import wait_for

if TYPE_CHECKING:
    from typing import Self

PROGRAM = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")


class PgBouncer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log_file = folder / "pgbouncer.log"
        self.port = free_port()
        parameters = connection.get_connection_params()
        self.url = f"postgresql://127.0.0.1:{self.port}/{parameters['dbname']}"

    def __enter__(self) -> Self:
        assert PROGRAM
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(self._settings())
        with self.log_file.open("w") as output:
            self._process = subprocess.Popen(
                [PROGRAM, str(settings)], stdout=output, stderr=subprocess.STDOUT
            )
        wait_for(lambda: self._process.poll() is not None or self._answers())
        assert self._process.poll() is None, self.log
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=90)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def _settings(self) -> str:
        parameters = connection.get_connection_params()
        server = " ".join(
            f"{name}='{parameters[name]}'"
            for name in ("host", "port", "user", "password", "dbname")
            if parameters.get(name)
        )
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            # Fewer than a worker has of its own, so that they change hands all the time.
            "default_pool_size": 3,
            "max_client_conn": 100,
        }
        if os.geteuid() == 0:
            # It refuses to be root, and the embedded server's socket is in a private folder.
            host = Path(parameters.get("host", ""))
            owner = host.stat().st_uid if host.is_absolute() else 0
            lines["user"] = pwd.getpwuid(owner).pw_name if owner else "nobody"
        body = "\n".join(f"{name} = {value}" for name, value in lines.items())
        return f"[databases]\n{parameters['dbname']} = {server}\n[pgbouncer]\n{body}\n"

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
