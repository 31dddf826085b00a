"""Statements of jobs whose answers will never come.

When a network or a proxy loses a connection without telling, a thread would wait for its answer
until the end of days. The server knows better: it is through with the statement.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from django.db.backends.signals import connection_created
from psycopg.pq import TransactionStatus

from joblogs.engine import queries
from joblogs.engine.sessions import SIGNS_OF_LIFE, settings_query, shut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    from joblogs.engine.connectors import WorkerConnector

logger = logging.getLogger(__name__)

# Seconds between two looks. What is the same in both is not going to change.
PAUSE = 2.0


class LostAnswers:
    """Watches Django's connections to the database of the jobs, in all threads of this process."""

    def __init__(self, connector: WorkerConnector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._connections: WeakSet[Any] = WeakSet()
        #: What the server said of the sessions for which somebody waited at the last look.
        self._said: dict[Any, object] = {}

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
        with raw.cursor() as cursor:
            cursor.execute(*settings_query(raw, SIGNS_OF_LIFE))
            is_ours = cursor.rowcount > 0
        if is_ours:
            with self._lock:
                self._connections.add(raw)

    async def _look(self) -> None:
        with self._lock:
            all_of_them = list(self._connections)
        waiting = {raw.info.backend_pid: raw for raw in all_of_them if _waits(raw)}
        # Most statements are over by the next look. The server is asked of those that are not.
        candidates = {pid: raw for pid, raw in waiting.items() if raw in self._said}
        said: dict[Any, object] = dict.fromkeys(waiting.values())
        if candidates:
            rows = await self._connector.execute_query_all_async(
                query=queries.IDLE_SESSIONS, pids=list(candidates)
            )
            for row in rows:
                raw = candidates[row["pid"]]
                if _waits(raw) and self._said[raw] == row["since"]:
                    await self._break(raw)
                said[raw] = row["since"]
        self._said = said

    async def _break(self, raw: Any) -> None:
        logger.warning("An answer of PostgreSQL got lost: ending the connection that waits for it.")
        # Its transaction holds locks, and nobody will end it.
        await self._connector.execute_query_all_async(
            query=queries.END_SESSION, pid=raw.info.backend_pid
        )
        shut(raw)


def _waits(raw: Any) -> bool:
    return not raw.closed and raw.pgconn.transaction_status == TransactionStatus.ACTIVE
