"""Where jobs are deferred, and how workers reach the database."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from procrastinate import sql
from procrastinate.contrib.django import connector_params
from procrastinate.contrib.django.django_connector import DjangoConnector as StockDjangoConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.psycopg_connector import PsycopgConnector, wrap_exceptions
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from joblogs.engine import queries
from joblogs.engine.connections import IDLE, has_something_to_say
from joblogs.engine.contact import Contact
from joblogs.engine.sessions import (
    MOST_PATIENCE,
    OF_THE_LOCK,
    PATIENCE,
    NoAnswerError,
    answers_within,
    prepare,
    settings_query,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from procrastinate.connector import Notify
    from psycopg import AsyncConnection, AsyncCursor
    from psycopg.rows import DictRow

T = TypeVar("T")

# Seconds that a query waits for a connection of the pool, which is tried about once a second.
POOL_TIMEOUT = 2.0
# Seconds that most of the attempts to connect may take.
SHORT = 2
# Seconds after which a session that is kept for itself is tried.
SILENCE = 10.0
# Seconds after which a lock that another session has is tried again.
AGAIN = 1.0
# Seconds in which a session that is kept for itself notices that another one fell silent.
SOON = 0.5


class DjangoConnector(StockDjangoConnector):
    """Defers on Django's connection; outside workers this is the app's connector."""

    def get_worker_connector(self) -> WorkerConnector:
        # A pool retries for half a minute and then hides the reason; a first plain connection
        # tells at once why the database cannot be reached. Nobody uses it again.
        if self.connection.connection is None:
            self.connection.ensure_connection()
            self.connection.close()
        return WorkerConnector(
            django_connector=self,
            kwargs=in_turns(connector_params(self.alias)),
            min_size=1,
            max_size=4,
            timeout=POOL_TIMEOUT,
            # After that it tries again when a query asks, not at the end of a wait that doubles
            # with each failure.
            reconnect_timeout=1.0,
            configure=prepare,
        )


class WorkerConnector(PsycopgConnector):
    """The worker's own pool, which leaves synchronous code on Django's connection.

    Stock Procrastinate would send `task.defer()` inside a task to this pool: the job would commit
    on its own, even when the task's transaction rolls back, and could start before it commits.

    A query is one round trip: stock needs four, for a ping, BEGIN, the query and COMMIT.
    """

    def __init__(self, *, django_connector: DjangoConnector, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._django_connector = django_connector
        self.alias = django_connector.alias
        self.contact = Contact("PostgreSQL cannot be used", "PostgreSQL can be used again")
        self._hearing = Contact(
            "Notices cannot be heard", "Notices are heard again", needs=self.contact
        )
        self._patience = PATIENCE
        self._draining: asyncio.Task[None] | None = None
        #: How often a connection of the pool has fallen silent.
        self._silences = 0
        self._locking = Contact(
            "The worker's lock cannot be held",
            "The worker's lock is held again",
            needs=self.contact,
        )
        #: Called whenever notices are heard from now on.
        self.on_listening: Callable[[], None] = lambda: None
        #: Called when the lock has been taken.
        self.on_lock: Callable[[], None] = lambda: None
        #: Whether a worker's advisory lock is held.
        self.holds_lock = False

    def get_sync_connector(self) -> DjangoConnector:
        return self._django_connector

    async def execute_query_async(self, *args: Any, **kwargs: Any) -> None:
        await self._telling(super().execute_query_async(*args, **kwargs))

    async def execute_query_one_async(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return await self._telling(super().execute_query_one_async(*args, **kwargs))

    async def execute_query_all_async(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        return await self._telling(super().execute_query_all_async(*args, **kwargs))

    async def _telling(self, query: Awaitable[T]) -> T:
        """Do a query, and note whether there is contact."""
        try:
            result = await query
        except ConnectorException as error:
            if isinstance(error.__cause__, PoolTimeout) and (reason := await self._reason()):
                error.__cause__ = reason
            self.contact.lost(error)
            raise
        self.contact.made()
        return result

    async def _reason(self) -> psycopg.Error | None:
        """Return why no connection can be had; the pool knows only that it took too long."""
        if self.contact.is_told:
            return None
        try:
            async with asyncio.timeout(POOL_TIMEOUT), self._get_standalone_connection():
                return None
        except (psycopg.Error, TimeoutError) as error:
            return error if isinstance(error, psycopg.Error) else None

    @asynccontextmanager
    async def _get_cursor(
        self, connection: AsyncConnection | None = None
    ) -> AsyncGenerator[AsyncCursor[DictRow]]:
        async with super()._get_cursor(connection) as cursor:
            if connection is not None:
                yield cursor
                return
            try:
                with answers_within(self._patience, cursor.connection):
                    yield cursor
            except NoAnswerError:
                self._patience = min(2 * self._patience, MOST_PATIENCE)
                # The other connections may be as silent.
                self._silences += 1
                self._draining = asyncio.create_task(self.pool.drain(), name="new connections")
                raise
            self._patience = PATIENCE

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Listen for ever, again as soon as there is a server when there was none."""
        names = list(channels)

        async def listen(connection: AsyncConnection) -> None:
            with answers_within(PATIENCE, connection):
                for name in names:
                    query = self._make_dynamic_query(sql.queries["listen_queue"], channel_name=name)
                    await connection.execute(query)
            # There is a server: whoever waits for one tries now.
            self.contact.made()
            # What was deferred while nobody listened.
            self.on_listening()
            while True:
                self._hearing.made()
                async for notice in self._notices(connection, SILENCE):
                    await on_notification(channel=notice.channel, payload=notice.payload)
                with answers_within(self._patience, connection):
                    await connection.execute("SELECT 1")

        await self._keep_session(listen, self._hearing)

    async def hold_lock(self, worker_id: int) -> None:
        """Hold the advisory lock of a worker for ever, on a session that does nothing else.

        PostgreSQL ends one whose notices nobody takes, as when the worker's process is stopped.
        """

        async def lock(connection: AsyncConnection) -> None:
            holder = {"worker_id": worker_id, "pid": connection.info.backend_pid}
            with answers_within(PATIENCE, connection):
                await connection.execute(*settings_query(connection, OF_THE_LOCK))
            while True:
                with answers_within(self._patience, connection):
                    if self.holds_lock:
                        await connection.execute("SELECT 1")
                    elif await _is_true(connection, queries.LOCK_WORKER, holder):
                        self.holds_lock = True
                        self.on_lock()
                    # The worker's session from before it fell silent may have it still, and would
                    # have it after the worker's death, too.
                    elif await _is_true(connection, queries.END_LOCK_HOLDER, holder):
                        continue
                self._locking.made()
                # Sees its end at once, if there is one.
                async for _ in self._notices(connection, SILENCE if self.holds_lock else AGAIN):
                    pass

        await self._keep_session(lock, self._locking)

    async def _notices(
        self, connection: AsyncConnection, seconds: float
    ) -> AsyncGenerator[psycopg.Notify]:
        """Yield what a session hears for so long, or until another one turns out to be silent."""
        silences, ends = self._silences, time.monotonic() + seconds
        while silences == self._silences and (left := ends - time.monotonic()) > 0:
            async for notice in connection.notifies(timeout=min(left, SOON)):
                yield notice

    async def _keep_session(
        self, use: Callable[[AsyncConnection], Awaitable[None]], contact: Contact
    ) -> None:
        while True:
            try:
                await self._use_session(use)
            except ConnectorException as error:
                contact.lost(error)
                await contact.wait(error)
            finally:
                if contact is self._locking:
                    self.holds_lock = False

    @wrap_exceptions()  # type: ignore[untyped-decorator]  # Procrastinate's
    async def _use_session(self, use: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        async with self._get_standalone_connection() as connection:
            await use(connection)

    async def _create_pool(self, pool_args: dict[str, Any]) -> AsyncConnectionPool:
        return self._pool_factory(**pool_args, open=False, check=IdleCheck())


async def _is_true(
    connection: AsyncConnection, query: LiteralString, parameters: dict[str, Any]
) -> bool:
    row = await (await connection.execute(query, parameters)).fetchone()
    return row is not None and row[0] is True


def in_turns(parameters: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return what gives the parameters of each next connection, of which most may take less time.

    Where connections are made and nothing answers, an attempt that has just begun when that is over
    keeps the others waiting for all of its time. A slow server is given it first and now and then.
    """
    whole = int(parameters.get("connect_timeout") or 0)  # none, and 0: psycopg's own
    short = min(SHORT, whole or SHORT)
    limits = itertools.cycle([whole, *[short] * 7])
    return lambda: parameters | {"connect_timeout": next(limits)}


class IdleCheck:
    """Tries a pool's connection before its use if it may have ended; a broken one is replaced."""

    def __init__(self) -> None:
        self._used_at: WeakKeyDictionary[AsyncConnection, float] = WeakKeyDictionary()

    async def __call__(self, connection: AsyncConnection) -> None:
        now = time.monotonic()
        long_idle = now - self._used_at.get(connection, now) > IDLE
        if long_idle or has_something_to_say(connection):
            with answers_within(POOL_TIMEOUT, connection):
                await AsyncConnectionPool.check_connection(connection)
        self._used_at[connection] = now
