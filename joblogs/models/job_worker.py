"""What the worker processes that live tell of themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

# Four heartbeats. After this time the jobs of a worker whose lock is free, too, are given back.
SILENT_AFTER = timedelta(seconds=20)


class JobWorker(models.Model):
    """A worker process of ours, as of its last heartbeat; stock workers have no such row.

    The worker writes it, and it goes when the worker does. Who finds the worker dead deletes it.
    """

    class State(models.TextChoices):
        RUNNING = "running", "running"
        QUIET = "quiet", "quiet: takes no new jobs"
        DRAINING = "draining", "draining: ends with its jobs"

    #: Procrastinate's id. No foreign key: the two rows come and go in either order.
    worker_id = models.BigIntegerField("worker", primary_key=True)
    name = models.CharField(max_length=128)
    host = models.CharField(max_length=255)
    pid = models.IntegerField("process id")
    #: None stands for all queues.
    queues = ArrayField(models.TextField(), null=True, blank=True)
    concurrency = models.IntegerField()
    #: How many jobs it has in hand.
    running = models.IntegerField()
    version = models.CharField(max_length=64, help_text="Of Joblogs.")
    state = models.CharField(max_length=16, choices=State)
    memory = models.BigIntegerField(help_text="Resident, in bytes.")
    #: Whether a session of its own has the advisory lock that tells that it lives.
    holds_lock = models.BooleanField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField("last seen")

    objects: ClassVar[models.Manager[JobWorker]] = models.Manager()

    class Meta:
        db_table = "job_workers"
        verbose_name = "job worker"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @property
    def is_alive(self) -> bool:
        """Tell whether the worker was heard of lately."""
        return self.seen_at > timezone.now() - SILENT_AFTER
