"""The sessions that workers have with PostgreSQL, and their end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from django.db import connection

from tests.processes import database_url
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TERMINATE_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM (SELECT pid FROM pg_stat_activity"
    " WHERE datname = %s AND backend_type = 'client backend'"
    "   AND pid NOT IN (pg_backend_pid(), %s)) AS others"
)


def count_listening() -> int:
    """Return how many workers listen: each locks its id on the connection that does."""
    [(count,)] = execute(
        """
        SELECT count(*)
          FROM procrastinate_workers AS worker
          JOIN pg_locks AS lock
            ON lock.locktype = 'advisory'
           AND lock.classid::bigint << 32 | lock.objid::bigint
             = joblogs_worker_lock_v1(worker.id)
         WHERE lock.granted
           AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """
    )
    return int(count)


def terminate(backends: Iterable[int]) -> None:
    execute("SELECT pg_terminate_backend(unnest(%s::int[]))", list(backends))


def terminate_all() -> int:
    """End all connections to the tests' database but Django's own; return how many there were."""
    with _somewhere_else() as other:
        return _terminate_all(other)


@contextmanager
def no_connections() -> Iterator[None]:
    """End all connections to the tests' database but Django's own, and refuse new ones."""
    name = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    with _somewhere_else() as other:
        other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        try:
            _terminate_all(other)
            yield
        finally:
            other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


def _somewhere_else() -> psycopg.Connection:
    """Return a connection to a database that stays open."""
    url = psycopg.conninfo.make_conninfo(database_url(), dbname="postgres")
    return psycopg.connect(url, autocommit=True)


def _terminate_all(other: psycopg.Connection) -> int:
    [(own,)] = execute("SELECT pg_backend_pid()")
    return other.execute(TERMINATE_OTHERS, [connection.settings_dict["NAME"], own]).rowcount
