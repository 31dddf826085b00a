"""Procrastinate's workers and periodic tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone
from procrastinate.contrib.django.models import (
    ProcrastinatePeriodicDefer,
    ProcrastinateReadOnlyManager,
    ProcrastinateWorker,
)

# Procrastinate counts a worker as stalled after this time, and so does the rescue of its jobs.
SILENT_AFTER = timedelta(seconds=30)


class Worker(ProcrastinateWorker):
    """A worker process that has not said goodbye."""

    objects: ClassVar[ProcrastinateReadOnlyManager] = ProcrastinateReadOnlyManager()

    class Meta:
        proxy = True
        verbose_name = "worker"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"Worker {self.pk}"

    @property
    def is_alive(self) -> bool:
        """Tell whether the worker was heard of lately."""
        return self.last_heartbeat > timezone.now() - SILENT_AFTER


class PeriodicTask(ProcrastinatePeriodicDefer):
    """The last time that a periodic task was deferred."""

    objects: ClassVar[models.Manager[PeriodicTask]] = models.Manager()

    class Meta:
        proxy = True
        verbose_name = "periodic task"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.task_name} {self.periodic_id}".strip()
