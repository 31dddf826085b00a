"""The Procrastinate app that runs Joblogs' worker and job manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procrastinate.contrib.django import DjangoApp
from procrastinate.contrib.django.db_cleanup import (
    close_db_connections,
    close_db_connections_async,
)

from joblogs.engine.connections import keep_connections, keep_connections_async
from joblogs.engine.manager import JobManager
from joblogs.engine.worker import Worker

if TYPE_CHECKING:
    from procrastinate.app import WorkerOptions
    from typing_extensions import Unpack

OURS_FOR_STOCK: dict[object, Any] = {
    close_db_connections: keep_connections,
    close_db_connections_async: keep_connections_async,
}


class EngineApp(DjangoApp):
    """A DjangoApp whose workers and job manager are Joblogs' own."""

    job_manager: JobManager

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_manager = JobManager(self.connector)
        self.worker_defaults["task_middleware"] = [
            OURS_FOR_STOCK.get(each, each) for each in self.worker_defaults["task_middleware"]
        ]

    def _worker(self, **kwargs: Unpack[WorkerOptions]) -> Worker:
        options: WorkerOptions = {**self.worker_defaults, **kwargs}
        return Worker(app=self, **options)
