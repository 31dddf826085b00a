"""The Procrastinate app that runs Joblogs' worker and job manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procrastinate.contrib.django import DjangoApp

from joblogs.engine.manager import JobManager
from joblogs.engine.worker import Worker

if TYPE_CHECKING:
    from procrastinate.app import WorkerOptions
    from typing_extensions import Unpack


class EngineApp(DjangoApp):
    """A DjangoApp whose workers and job manager are Joblogs' own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_manager = JobManager(self.connector)

    def _worker(self, **kwargs: Unpack[WorkerOptions]) -> Worker:
        options: WorkerOptions = {**self.worker_defaults, **kwargs}
        return Worker(app=self, **options)
