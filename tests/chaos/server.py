"""A PostgreSQL server of the chaos tests' own, which they stop and start as they like."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql

from project.postgres.account import account_for
from project.postgres.cluster import SUPERUSER, Cluster
from project.postgres.runtime import usable_installation
from tests.waiting import wait_for

if TYPE_CHECKING:
    from typing import Self

#: Whom workers, producers and crowds connect as: nobody who gets the superusers' connections.
ROLE = "joblogs"
#: How many connections there are, and how many of them only a superuser may have.
CONNECTIONS = 100
RESERVED = 5
#: How PostgreSQL ends: it rolls back what is open, or dies on the spot and recovers when started.
FAST = signal.SIGINT
IMMEDIATE = signal.SIGQUIT


class PostgresServer:
    """Runs between `with` and its end, in a temporary folder, over TCP alone.

    Half-open connections, and what detects them, exist over TCP only.
    """

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="joblogs-chaos-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._create()
            self.start()
            self._in_postgres("CREATE ROLE {} LOGIN", ROLE)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _create(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        # As root, it runs as an account that has to get into the folder.
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._account = account_for(self._folder)
        self._programs = usable_installation(self._folder / "server", self._account)
        self.log_file = self._folder / "postgres.log"
        with self.log_file.open("ab") as log:
            number = log.fileno()
            Cluster(self._data, self._programs, self._account, lock=number, log=number).create()

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        settings: dict[str, object] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": CONNECTIONS,
            "superuser_reserved_connections": RESERVED,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "bin" / "postgres", "-D", self._data, *options],
                **self._account.run_as,
                cwd=self._data,
                stdout=log,
                stderr=log,
                # Ctrl-C is not for it: what runs on it is ended first.
                start_new_session=True,
            )
        wait_for(self._answers)

    def stop(self, how: signal.Signals) -> None:
        """Stop it FAST or IMMEDIATE, and return when it has ended."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=90)
            self._process = None

    def url(self, database: str, *, port: int | None = None, name: str = "") -> str:
        """Return a DATABASE_URL, perhaps with a proxy's port; sessions are called `name`."""
        return (
            f"postgresql://{ROLE}@127.0.0.1:{port or self.port}/{database}?application_name={name}"
        )

    def connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as the superuser; each statement commits by itself."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def rows(
        self, database: str, query: LiteralString, *parameters: object
    ) -> list[tuple[Any, ...]]:
        """Do something as the superuser; waits, and does it again, while that is impossible."""

        def done() -> list[list[tuple[Any, ...]]]:
            try:
                with self.connect(database) as session:
                    cursor = session.execute(query, parameters or None)
                    return [cursor.fetchall() if cursor.description else []]
            except psycopg.OperationalError:
                return []

        return wait_for(done, seconds=90)[0]

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Make a database that belongs to the role."""
        self._in_postgres("CREATE DATABASE {} TEMPLATE {} OWNER {}", name, template, ROLE)

    def drop_database(self, name: str) -> None:
        self._in_postgres("DROP DATABASE {} WITH (FORCE)", name)

    def _in_postgres(self, statement: LiteralString, *names: str) -> None:
        with self.connect("postgres") as session:
            session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_file.read_text()[-2_000:]
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _remove(self) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                self.stop(IMMEDIATE)
        finally:
            shutil.rmtree(self._folder)


def query_of(name: str) -> LiteralString:
    """Return the text of a file of these tests' SQL."""
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
