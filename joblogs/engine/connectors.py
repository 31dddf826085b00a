"""Where jobs are deferred: always on the connection of the code that defers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procrastinate.contrib.django import connector_params
from procrastinate.contrib.django.django_connector import DjangoConnector as StockDjangoConnector
from procrastinate.psycopg_connector import PsycopgConnector

if TYPE_CHECKING:
    from procrastinate.connector import BaseConnector


class DjangoConnector(StockDjangoConnector):
    """Defers on Django's connection; outside workers this is the app's connector."""

    def get_worker_connector(self) -> WorkerConnector:
        # A pool retries for half a minute and then hides the reason; a first plain connection
        # tells at once why the database cannot be reached.
        self.connection.ensure_connection()
        return WorkerConnector(sync_connector=self, kwargs=connector_params(self.alias))


class WorkerConnector(PsycopgConnector):
    """The worker's own pool, which leaves synchronous code on Django's connection.

    Stock Procrastinate would send `task.defer()` inside a task to this pool: the job would commit
    on its own, even when the task's transaction rolls back, and could start before it commits.
    """

    def __init__(self, *, sync_connector: BaseConnector, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._django_connector = sync_connector

    def get_sync_connector(self) -> BaseConnector:
        return self._django_connector
