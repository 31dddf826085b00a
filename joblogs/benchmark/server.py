"""The server that is measured, and the databases that exist for that time only."""

from __future__ import annotations

import os
import platform
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import sql

from joblogs.benchmark.children import ENDS
from project.postgres.base import DatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator

# What Django adds to libpq's own parameters.
OF_DJANGO = ("dbname", "context", "cursor_factory", "prepare_threshold")
# Where to be while databases are made and dropped.
MAINTENANCE = ("postgres", "template1")
SQL = Path(__file__).parent / "sql"


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore requests to end meanwhile."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class BenchmarkError(Exception):
    """Something that cannot be measured, told in one line."""


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server; nothing but the benchmark's own databases on it is ever changed."""

    #: libpq's, without the database.
    parameters: dict[str, str]
    #: The embedded server's log, if it is that one.
    log: Path | None

    @classmethod
    def in_use(cls) -> Server:
        """Return the server of DATABASE_URL, or the embedded one."""
        connection = connections[DEFAULT_DB_ALIAS]
        parameters = {
            name: str(value)
            for name, value in connection.get_connection_params().items()
            if name not in OF_DJANGO
        }
        embedded = connection.embedded if isinstance(connection, DatabaseWrapper) else None
        return cls(parameters, embedded.folder / "postgres.log" if embedded else None)

    def url(self, database: str) -> str:
        """Return the DATABASE_URL with which another process uses one of its databases."""
        return f"postgresql:///{quote(database)}?{urlencode(self.parameters, quote_via=quote)}"

    def connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect; each statement commits by itself."""
        return psycopg.connect(self.url(database), autocommit=True)

    @contextmanager
    def database(self, name: str, template: str = "template1") -> Iterator[str]:
        """Make a database, fully durable, and drop it in the end; refuses one that exists."""
        self._refuse_to_touch(name)
        try:
            try:
                self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
            except psycopg.Error as error:
                raise BenchmarkError(f"The database {name} cannot be made: {error}") from error
            self._execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = 'on'"), name)
            yield name
        finally:
            # Perhaps it was made and Ctrl-C came before anybody knew; and it may come again.
            with undisturbed():
                self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), name)

    def _refuse_to_touch(self, name: str) -> None:
        with self._maintenance() as maintenance:
            look = "SELECT FROM pg_database WHERE datname = %s"
            if maintenance.execute(look, [name]).rowcount:
                raise BenchmarkError(
                    f"There is a database {name} on this server: another benchmark runs, or one "
                    f'was killed. If nobody needs it: DROP DATABASE "{name}"'
                )

    def _execute(self, statement: sql.SQL, *names: str) -> None:
        with self._maintenance() as maintenance:
            maintenance.execute(statement.format(*map(sql.Identifier, names)))

    def _maintenance(self) -> psycopg.Connection[tuple[Any, ...]]:
        for name in MAINTENANCE:
            try:
                return self.connect(name)
            except psycopg.OperationalError as error:
                reason = error
        raise BenchmarkError(f"No connection to the server: {str(reason).strip()}")

    def set(self, database: str, **parameters: str) -> None:
        """Set parameters for connections to come. Raises psycopg.Error where that is forbidden."""
        for name, value in parameters.items():
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(database), sql.Identifier(name), value
            )
            with self._maintenance() as maintenance:
                maintenance.execute(statement)

    def reset(self, database: str, *names: str) -> None:
        """Take that back."""
        for name in names:
            self._execute(sql.SQL("ALTER DATABASE {} RESET {}"), database, name)

    def pgbench(self) -> str:
        """Return where PostgreSQL's pgbench is. Raises BenchmarkError if it is nowhere."""
        if self.log:
            from project.postgres.binaries import find_installation

            bundled = find_installation() / "bin" / "pgbench"
            if bundled.exists():
                return str(bundled)
        if found := shutil.which("pgbench"):
            return found
        raise BenchmarkError(
            "pgbench is not on the PATH: install PostgreSQL's client programs "
            "(Debian has it in postgresql-contrib or postgresql-client)."
        )

    def environment(self, database: str) -> dict[str, str]:
        """Return what figures depend on."""
        shown = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size")
        with self.connect(database) as session:
            settings = {
                name: str(row[0])
                for name in shown
                if (row := session.execute("SELECT current_setting(%s)", [name]).fetchone())
            }
        return {
            "server": "embedded" if self.log else "given by DATABASE_URL",
            **settings,
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": str(os.cpu_count()),
        }
