"""Procrastinate's workers and periodic tasks."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.utils import timezone
from procrastinate.contrib.django.models import (
    ProcrastinatePeriodicDefer,
    ProcrastinateReadOnlyManager,
    ProcrastinateWorker,
)

from joblogs.models.job_worker import JobWorker

if TYPE_CHECKING:
    from collections.abc import Iterable

# After which time Procrastinate counts a worker as stalled.
STOCK_SILENT_AFTER = timedelta(seconds=30)


class Worker(ProcrastinateWorker):
    """A worker process that has not said goodbye."""

    objects: ClassVar[ProcrastinateReadOnlyManager] = ProcrastinateReadOnlyManager()

    class Meta:
        proxy = True
        verbose_name = "worker"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"Worker {self.pk}"

    @cached_property
    def details(self) -> JobWorker | None:
        """What the worker tells of itself; None for one of stock Procrastinate."""
        return JobWorker.objects.filter(pk=self.pk).first()

    @staticmethod
    def attach_details(workers: Iterable[Worker]) -> None:
        """Look up what these workers tell of themselves, all at once."""
        known = JobWorker.objects.in_bulk([worker.pk for worker in workers])
        for worker in workers:
            worker.details = known.get(worker.pk)

    @property
    def is_alive(self) -> bool:
        """Tell whether the worker was heard of lately."""
        if self.details:
            return self.details.is_alive
        return self.last_heartbeat > timezone.now() - STOCK_SILENT_AFTER

    @property
    def state(self) -> str:
        """One of the states of JobWorker, "silent", or for a stock worker that lives "alive"."""
        if not self.is_alive:
            return "silent"
        return self.details.state if self.details else "alive"


class PeriodicTask(ProcrastinatePeriodicDefer):
    """The last time that a periodic task was deferred."""

    objects: ClassVar[models.Manager[PeriodicTask]] = models.Manager()

    class Meta:
        proxy = True
        verbose_name = "periodic task"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.task_name} {self.periodic_id}".strip()
