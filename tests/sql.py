"""SQL that tests send on Django's connection, or on one of somebody else's."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection

from tests.processes import database_url


def execute(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Execute SQL on Django's connection, and return its rows if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        return cursor.fetchall() if cursor.description else []


def elsewhere(query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Do the same on a connection of its own, committed at once, as another process would."""
    with psycopg.connect(database_url(), autocommit=True) as other:
        cursor = other.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def somebody_waits_for_a_lock() -> bool:
    return bool(
        execute(
            "SELECT pid FROM pg_locks WHERE NOT granted AND (database IS NULL OR database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())) LIMIT 1"
        )
    )


def transactions_of(table: str, column: str, *values: object) -> set[str]:
    """Return the ids of the transactions that last wrote these rows."""
    query = f"SELECT DISTINCT xmin::text FROM {table} WHERE {column} = ANY (%s)"  # noqa: S608  # names of tests
    return {transaction for (transaction,) in execute(query, list(values))}
