"""Statements of jobs whose answers will never come.

When a network or a proxy loses a connection without telling, a thread would wait for its answer
until the end of days. The server knows better: it is through with the statement.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from django.db.backends.signals import connection_created
from procrastinate.exceptions import ConnectorException
from psycopg.pq import TransactionStatus

from joblogs.engine import queries
from joblogs.engine.sessions import SIGNS_OF_LIFE, settings_query, shut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    from joblogs.engine.connectors import WorkerConnector

ACTIVE = TransactionStatus.ACTIVE

logger = logging.getLogger(__name__)

# Seconds between two looks, and of waiting after which the server is asked; or else, when it cannot
# be asked, after which there will be no answer.
PAUSE = 2.0
LONG = 4.0
LONGER = 32.0


@dataclass(slots=True)
class Session:
    """What is known of a connection that is watched."""

    #: When the server began it, as text: process ids are given again. None until it is known.
    began: str | None = None
    #: Since when (of time.monotonic) somebody has been waiting for one and the same answer.
    waiting_since: float | None = None


class LostAnswers:
    """Watches Django's connections to the database of the jobs, in all threads of this process."""

    def __init__(self, connector: WorkerConnector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the connections that are made meanwhile."""
        connection_created.connect(self._prepare)
        try:
            yield
        finally:
            connection_created.disconnect(self._prepare)

    async def keep_looking(self) -> None:
        """Break connections that wait for an answer, though the server has nothing to answer."""
        while True:
            await asyncio.sleep(PAUSE)
            await self._look()

    def _prepare(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        if connection.alias != self._connector.alias:
            return
        raw = connection.connection
        session = Session()
        _note_waits(raw, session)
        with self._lock:
            self._sessions[raw] = session
        with raw.cursor() as cursor:
            cursor.execute(*settings_query(raw, SIGNS_OF_LIFE))
            cursor.execute(queries.SESSION_BEGAN, {"pid": raw.info.backend_pid})
            row = cursor.fetchone()
        if row:
            [session.began] = row
        else:
            # What the server says of it may be of somebody else's statement, or nothing.
            with self._lock:
                del self._sessions[raw]

    async def _look(self) -> None:
        waits = {wait.raw.info.backend_pid: wait for wait in self._long_waits()}
        for wait in waits.values():
            # Its first statements, which do next to nothing, before anything is known of it; in a
            # pooler they may have to wait for a connection.
            if wait.session.began is None and time.monotonic() - wait.since > LONGER:
                wait.end()
        known = {pid: wait.session.began for pid, wait in waits.items() if wait.session.began}
        if not known:
            return
        rows = await self._connector.execute_query_all_async(
            query=queries.IDLE_SESSIONS, pids=list(known), begun=list(known.values())
        )
        for row in rows:
            wait = waits[row["pid"]]
            if not wait.goes_on:
                continue
            try:
                # Its transaction holds locks, and nobody will end it.
                await self._connector.execute_query_all_async(
                    query=queries.END_SESSION, pid=row["pid"], began=wait.session.began
                )
            except ConnectorException as error:
                logger.warning("Its session is left to the server: %s", error.__cause__)
            if wait.goes_on:
                wait.end()

    def _long_waits(self) -> list[Wait]:
        before = time.monotonic() - LONG
        with self._lock:
            waits = [
                Wait(raw, session, session.waiting_since)
                for raw, session in self._sessions.items()
                if session.waiting_since and session.waiting_since < before
            ]
        # Whoever listens waits, too, but not for the answer to a statement.
        return [wait for wait in waits if wait.raw.pgconn.transaction_status == ACTIVE]


class Wait(NamedTuple):
    """Somebody's wait for an answer."""

    raw: Any
    session: Session
    since: float

    @property
    def goes_on(self) -> bool:
        """Tell whether it is for the same answer still."""
        return self.session.waiting_since == self.since

    def end(self) -> None:
        """Break the connection, whose next statement starts on a new one."""
        logger.warning("An answer of PostgreSQL got lost: ending the connection that waits for it.")
        shut(self.raw)


def _note_waits(raw: Any, session: Session) -> None:
    """Note when somebody waits for the server on this connection.

    That it is amid a statement does not tell: whoever reads the rows of a COPY slowly is, too.
    """
    # Not what an earlier call has put in its place, when the connection comes from a pool again.
    wait = type(raw).wait

    def noted(*args: Any, **kwargs: Any) -> Any:
        session.waiting_since = time.monotonic()
        try:
            return wait(raw, *args, **kwargs)
        finally:
            session.waiting_since = None

    raw.wait = noted
