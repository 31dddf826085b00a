"""Ask the embedded server, over the socket in the folder `host`."""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from project.postgres.cluster import SUPERUSER
from project.postgres.errors import DatabaseUnreachable
from project.postgres.runtime import PORT, socket_of

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
    """Return the id of the process that listens on the socket, or None without one.

    The kernel tells it. The server's own postmaster.pid may have been changed by others.
    """
    # macOS: SOL_LOCAL and LOCAL_PEERPID, which Python does not name.
    level, option = (
        (socket.SOL_SOCKET, socket.SO_PEERCRED) if sys.platform == "linux" else (0, 0x002)
    )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(socket_of(host)))
        except OSError:
            return None
        # On Linux user and group follow the process id.
        answer = probe.getsockopt(level, option, struct.calcsize("3i"))
    pid = int(struct.unpack_from("i", answer)[0])
    # 0 is somebody in another pid namespace.
    return pid if pid > 1 else None


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
