"""What is in the database: what a request has changed there, and how to undo it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection, transaction

from joblogs.tasks import create_user_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import Model

# Changes whoever comes along, also when they are refused.
_SESSIONS = "django_session"
_USERS_AND_JOBS = """
    SELECT array(SELECT id FROM users),
           array(SELECT (args ->> 'user_id')::bigint FROM procrastinate_jobs WHERE task_name = %s)
"""
_WRITES = """
    SELECT sum(pg_stat_get_xact_tuples_inserted(name::regclass)
               + pg_stat_get_xact_tuples_updated(name::regclass)
               + pg_stat_get_xact_tuples_deleted(name::regclass))
      FROM unnest(%s::text[]) name
"""
_TEXTS = """
    SELECT column_name, character_maximum_length, data_type = 'jsonb'
      FROM information_schema.columns
     WHERE table_name = %s AND data_type IN ('text', 'character varying', 'jsonb')
       AND column_name <> 'password'
"""


@contextmanager
def undone() -> Iterator[None]:
    """Undo in the end what is done inside, also when a statement failed."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


class Contents(NamedTuple):
    """What was in the database at a moment."""

    tables: dict[str, str | None]  # a digest of each
    users: list[int]  # their ids
    jobs: list[int]  # the ids of the users whose logs they write

    @classmethod
    def now(cls) -> Contents:
        with connection.cursor() as cursor:
            cursor.execute(_digests())
            tables = dict(zip(_tables(), cursor.fetchone() or (), strict=True))
            cursor.execute(_USERS_AND_JOBS, [create_user_log.name])
            users, jobs = cursor.fetchone() or ([], [])
        return cls(tables, users, jobs)

    def changes_to(self, later: Contents) -> list[str]:
        """Return the names of the tables that have changed."""
        return [name for name in self.tables if later.tables[name] != self.tables[name]]

    def halves_in(self, later: Contents) -> list[str]:
        """Return what has been added without that which belongs to it."""
        users = set(later.users) - set(self.users)
        jobs = list(later.jobs)
        for user in self.jobs:
            if user in jobs:
                jobs.remove(user)
        return [f"user {user} without a job" for user in users.difference(jobs)] + [
            f"a job for user {user}, who is not new" for user in jobs if user not in users
        ]


def store_in_every_text(objects: Iterable[Model], text: str) -> None:
    """Put this into all columns of these objects that can hold it, past whatever would refuse it.

    Passwords stay: those whose password changes are logged out.
    """
    for instance in objects:
        table = connection.ops.quote_name(instance._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(_TEXTS, [instance._meta.db_table])
            for column, size, is_json in cursor.fetchall():
                value = json.dumps({text: [text]}) if is_json else text[:size]
                name = connection.ops.quote_name(column)
                cursor.execute(
                    f"UPDATE {table} SET {name} = %s WHERE id = %s",  # noqa: S608  # names of ours
                    [value, instance.pk],
                )


def writes() -> int:
    """Return how many rows this transaction has tried to write, also where that was undone."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITES, [_tables()])
        (count,) = cursor.fetchone() or (0,)
    return int(count)


@cache
def _tables() -> list[str]:
    names = connection.introspection.table_names()
    return [name for name in names if name != _SESSIONS]


@cache
def _digests() -> str:
    """Return the statement that gives a digest of each table."""
    digest = "(SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t)"
    return "SELECT " + ", ".join(
        digest.format(connection.ops.quote_name(name)) for name in _tables()
    )
