"""Where jobs are deferred, and how workers reach the database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from procrastinate.contrib.django import connector_params
from procrastinate.contrib.django.django_connector import DjangoConnector as StockDjangoConnector
from procrastinate.psycopg_connector import PsycopgConnector
from psycopg_pool import AsyncConnectionPool

if TYPE_CHECKING:
    from psycopg import AsyncConnection

# Seconds after which a connection that nobody used is tried before it is used again.
IDLE = 10.0


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

    def get_sync_connector(self) -> DjangoConnector:
        return self._django_connector

    async def _create_pool(self, pool_args: dict[str, Any]) -> AsyncConnectionPool:
        return self._pool_factory(**pool_args, open=False, check=IdleCheck())


class IdleCheck:
    """Tries a pool's connection that has been idle; one that is broken is replaced."""

    def __init__(self) -> None:
        self._used_at: WeakKeyDictionary[AsyncConnection, float] = WeakKeyDictionary()

    async def __call__(self, connection: AsyncConnection) -> None:
        now = time.monotonic()
        if now - self._used_at.get(connection, now) > IDLE:
            await AsyncConnectionPool.check_connection(connection)
        self._used_at[connection] = now


async def _commit_by_itself(connection: AsyncConnection) -> None:
    await connection.set_autocommit(True)
