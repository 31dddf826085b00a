"""Queues, and whether they are paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from joblogs.engine.waking import wake_after_commit

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


class JobQueueManager(models.Manager["JobQueue"]):
    def pause(self, name: str, *, by: AbstractBaseUser | None = None) -> JobQueue:
        """Let no worker take jobs from a queue until it is resumed; what runs goes on.

        Stock Procrastinate workers do not know of it. A queue that is paused already stays so
        since then.
        """
        queue, _ = self.get_or_create(name=name)
        if queue.paused_at is None:
            queue.paused_at, queue.paused_by = timezone.now(), by
            queue.save(update_fields=["paused_at", "paused_by"])
        return queue

    def resume(self, name: str) -> None:
        """Let workers take jobs from a queue again, and wake them."""
        if self.filter(name=name, paused_at__isnull=False).update(paused_at=None, paused_by=None):
            wake_after_commit([name])


class JobQueue(models.Model):
    """A queue that somebody paused at some time; others need no row."""

    name = models.CharField(max_length=128, primary_key=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by: Any = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )

    objects = JobQueueManager()

    class Meta:
        db_table = "job_queues"
        verbose_name = "queue"
        default_permissions = ("view",)
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
