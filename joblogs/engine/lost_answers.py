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
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.db.backends.signals import connection_created
from procrastinate.exceptions import ConnectorException

from joblogs.engine import queries
from joblogs.engine.sessions import SIGNS_OF_LIFE, settings_query, shut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    from joblogs.engine.connectors import WorkerConnector

logger = logging.getLogger(__name__)

# Seconds between two looks, and of waiting after which the server is asked.
PAUSE = 2.0
LONG = 4.0


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
            # In a pooler: what the server says of a session may be of somebody else's statement.
            with self._lock:
                del self._sessions[raw]

    async def _look(self) -> None:
        now = time.monotonic()
        with self._lock:
            waiting = {
                raw.info.backend_pid: (raw, session)
                for raw, session in self._sessions.items()
                if session.waiting_since and now - session.waiting_since > LONG and not raw.closed
            }
        # Its first statements, which do next to nothing, before anything is known of it.
        for raw, session in waiting.values():
            if session.began is None:
                _break(raw)
        known = {pid: session.began for pid, (_, session) in waiting.items() if session.began}
        if not known:
            return
        rows = await self._connector.execute_query_all_async(
            query=queries.IDLE_SESSIONS, pids=list(known), begun=list(known.values())
        )
        for row in rows:
            raw, session = waiting[row["pid"]]
            if session.waiting_since is None or session.waiting_since > now:
                continue
            try:
                # Its transaction holds locks, and nobody will end it.
                await self._connector.execute_query_all_async(
                    query=queries.END_SESSION, pid=row["pid"], began=session.began
                )
            except ConnectorException as error:
                logger.warning("Its session is left to the server: %s", error.__cause__)
            finally:
                _break(raw)


def _break(raw: Any) -> None:
    logger.warning("An answer of PostgreSQL got lost: ending the connection that waits for it.")
    shut(raw)


def _note_waits(raw: Any, session: Session) -> None:
    """Note when somebody waits for the server on this connection.

    That it is amid a statement does not tell: whoever reads the rows of a COPY slowly is, too.
    """
    wait = raw.wait

    def noted(*args: Any, **kwargs: Any) -> Any:
        session.waiting_since = time.monotonic()
        try:
            return wait(*args, **kwargs)
        finally:
            session.waiting_since = None

    raw.wait = noted
