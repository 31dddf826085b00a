"""Ask the embedded server, over the socket in the folder `host`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from project.postgres.cluster import SUPERUSER
from project.postgres.errors import DatabaseUnreachable
from project.postgres.runtime import PORT

if TYPE_CHECKING:
    from pathlib import Path


def answers(host: Path) -> bool:
    """Say whether the server accepts connections."""
    return PGconn.ping(make_conninfo(**_params(host)).encode()) == Ping.OK


def create_database(host: Path, name: str) -> None:
    """Create the database if it is missing."""
    with _connect(host) as connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if not connection.execute(query, [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def version(host: Path) -> str:
    """Return the server's version, such as 18.4."""
    with _connect(host) as connection:
        return connection.info.parameter_status("server_version") or ""


def postmaster_pid(host: Path) -> int | None:
    """Return the server's process id, as the server itself gives it, or None without an answer."""
    try:
        with _connect(host) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    except DatabaseUnreachable:
        return None
    return int(row[0].split("\n")[0]) if row else None


def _connect(host: Path) -> psycopg.Connection:
    params = _params(host)
    try:
        return psycopg.connect(**params, autocommit=True)
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable.at(params, error) from error


def _params(host: Path) -> dict[str, Any]:
    return {
        "host": str(host),
        "port": PORT,
        "user": SUPERUSER,
        "dbname": "postgres",
        "connect_timeout": 5,
    }
