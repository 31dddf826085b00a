"""Where jobs are deferred, and how workers reach the database."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from procrastinate.contrib.django import connector_params
from procrastinate.contrib.django.django_connector import DjangoConnector as StockDjangoConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.psycopg_connector import PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from joblogs.engine.backoff import Backoff
from joblogs.engine.connections import IDLE, has_something_to_say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procrastinate.connector import Notify
    from psycopg import AsyncConnection


class DjangoConnector(StockDjangoConnector):
    """Defers on Django's connection; outside workers this is the app's connector."""

    def get_worker_connector(self) -> WorkerConnector:
        # A pool retries for half a minute and then hides the reason; a first plain connection
        # tells at once why the database cannot be reached.
        self.connection.ensure_connection()
        return WorkerConnector(
            django_connector=self,
            kwargs=connector_params(self.alias),
            min_size=1,
            max_size=4,
            configure=_commit_by_itself,
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
        self._listening = Backoff("Notices cannot be heard", "Notices are heard again")

    def get_sync_connector(self) -> DjangoConnector:
        return self._django_connector

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Listen for ever, again as soon as there is a server when there was none."""
        while True:
            try:
                await super().listen_notify(on_notification, channels)
            except ConnectorException as error:
                await asyncio.sleep(self._listening.after(error))

    async def _loop_notify(self, *args: Any, **kwargs: Any) -> None:
        self._listening.succeeded()
        await super()._loop_notify(*args, **kwargs)

    async def _create_pool(self, pool_args: dict[str, Any]) -> AsyncConnectionPool:
        return self._pool_factory(**pool_args, open=False, check=IdleCheck())


class IdleCheck:
    """Tries a pool's connection before its use if it may have ended; a broken one is replaced."""

    def __init__(self) -> None:
        self._used_at: WeakKeyDictionary[AsyncConnection, float] = WeakKeyDictionary()

    async def __call__(self, connection: AsyncConnection) -> None:
        now = time.monotonic()
        long_idle = now - self._used_at.get(connection, now) > IDLE
        if long_idle or has_something_to_say(connection):
            await AsyncConnectionPool.check_connection(connection)
        self._used_at[connection] = now


async def _commit_by_itself(connection: AsyncConnection) -> None:
    await connection.set_autocommit(True)
