"""Keep Django's connections open from job to job, where stock tries or closes them for each."""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connections, reset_queries

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from procrastinate import JobContext
    from procrastinate.middleware import AsyncCallNext, SyncCallNext
    from procrastinate.worker import Worker

# Seconds after which a connection that nobody used is tried before it is used again.
IDLE = 10.0
# Seconds between asynchronous tasks after which their connections are looked at.
PAUSE = 0.1

_used = threading.local()


def keep_connections(call_next: SyncCallNext, context: JobContext, worker: Worker) -> Any:
    """Middleware of plain tasks: whatever CONN_MAX_AGE says, only what is broken is closed."""
    _before()
    try:
        return call_next()
    finally:
        _after()


async def keep_connections_async(
    call_next: AsyncCallNext, context: JobContext, worker: Worker
) -> Any:
    """Middleware of asynchronous tasks, which share the connections of one thread.

    A look at them costs two changes of threads, so there is one only after an error and after a
    pause.
    """
    last = getattr(_used, "by_tasks_at", float("-inf"))
    if time.monotonic() - last > PAUSE:
        await sync_to_async(_before)()
    try:
        return await call_next()
    except Exception:
        await sync_to_async(_after)()
        raise
    finally:
        _used.by_tasks_at = time.monotonic()


def commits_by_itself(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether a Django connection is in autocommit mode, without opening it."""
    if connection.connection is None:
        return bool(connection.settings_dict["AUTOCOMMIT"])
    return connection.get_autocommit()


def has_something_to_say(raw: Any) -> bool:
    """Tell whether an idle psycopg connection has been sent something: most often, its end."""
    if raw.closed:
        return True
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _before() -> None:
    long_idle = time.monotonic() - getattr(_used, "at", float("-inf")) > IDLE
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        idle = long_idle or has_something_to_say(connection.connection)
        # Django tries a connection once at its next use, unless that has been done.
        connection.health_check_enabled = idle  # type: ignore[attr-defined]  # missing in stubs
        connection.health_check_done = not idle  # type: ignore[attr-defined]  # missing in stubs


def _after() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        by_itself = connection.settings_dict["AUTOCOMMIT"]
        if connection.errors_occurred or connection.get_autocommit() != by_itself:
            connection.close_if_unusable_or_obsolete()
    reset_queries()
    _used.at = time.monotonic()
