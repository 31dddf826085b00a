"""Sessions of a worker that end when one of their two ends is gone without a word."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg import Error, OperationalError

from joblogs.engine import queries

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from psycopg import AsyncConnection

T = TypeVar("T")

# Seconds that the engine waits for the answer to a statement, which takes some milliseconds; twice
# as long after each time that none came, as the server may be slow, and no connection lost.
PATIENCE = 4.0
MOST_PATIENCE = 32.0
# The server ends a statement that nobody waits for any more.
STATEMENT_TIMEOUT = 40  # seconds

# What the server does about a worker that is gone, whose transactions hold locks that a rescue
# needs: it asks for a sign of life after 5 s, three times 2 s apart, and amid statements, too.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
SIGNS_OF_LIFE = {
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11s",
    "client_connection_check_interval": "10s",
}
# Where something between gives that sign in place of a worker that is gone, the session that holds
# its lock ends all the same. A worker that lives uses it every ten seconds.
OF_THE_LOCK = {"idle_session_timeout": "10min"}
OF_THE_ENGINE = SIGNS_OF_LIFE | {"statement_timeout": f"{STATEMENT_TIMEOUT}s"}


def settings_query(raw: Any, settings: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the query that gives a psycopg connection these settings, and its parameters.

    It returns no row, and sets nothing, when the session is another one's by turns (PgBouncer): the
    settings would stay with it.
    """
    return queries.SET_SESSION, {"settings": json.dumps(settings), "pid": raw.info.backend_pid}


async def prepare(connection: AsyncConnection) -> None:
    """Make a connection one of the engine's: each statement commits by itself, and in time."""
    await connection.set_autocommit(True)
    query, parameters = settings_query(connection, OF_THE_ENGINE)
    with answers_within(PATIENCE, connection):
        await connection.execute(query, parameters)


class NoAnswerError(OperationalError):
    """A connection kept us waiting for too long, and was broken."""


@contextmanager
def answers_within(seconds: float, connection: AsyncConnection) -> Iterator[None]:
    """Break a connection that keeps us waiting for so long, and raise NoAnswerError.

    Its next answer may never come: where packets vanish on the way, or something between has hung.
    """
    timer = asyncio.get_running_loop().call_later(seconds, shut, connection)
    try:
        yield
    except OperationalError as error:
        if timer.when() <= asyncio.get_running_loop().time():
            raise NoAnswerError(f"there was no answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()


async def within(seconds: float, doing: Coroutine[Any, Any, T]) -> T:
    """Return what comes of it; after so many seconds, leave it to itself and raise TimeoutError.

    `asyncio.timeout` waits until what it cancels has ended, and psycopg until a statement has that
    it cancels: some seconds, when there is no answer.
    """
    task = asyncio.create_task(doing)
    task.add_done_callback(_forget)
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
        raise TimeoutError
    return task.result()


def _forget(task: asyncio.Task[Any]) -> None:
    """Have nobody complain that nobody asked for what came of it."""
    if not task.cancelled():
        task.exception()


def shut(connection: Any) -> None:
    """End a psycopg connection under whoever waits for it, who gets an OperationalError."""
    # A descriptor of our own: the other one is the connection's to close.
    with suppress(OSError, Error), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)
