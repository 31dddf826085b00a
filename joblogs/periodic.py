"""What runs by the clock, and when next."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple

from procrastinate.contrib.django import app

from joblogs.models import PeriodicTask


class Schedule(NamedTuple):
    """A periodic task of this code, or one that the database remembers from code before it."""

    task_name: str
    periodic_id: str
    #: None for one that the code does not have any more.
    cron: str | None
    next_at: datetime | None
    last_at: datetime | None
    #: None when it was never deferred, or the job is gone.
    last_job_id: int | None


def schedules() -> list[Schedule]:
    """Return all periodic tasks by name. One query, of a table with a row or so for each."""
    known = app.periodic_registry.periodic_tasks
    deferred = {
        (row.task_name, row.periodic_id): row
        for row in PeriodicTask.objects.order_by("defer_timestamp")
    }
    found = []
    for task_name, periodic_id in sorted(known.keys() | deferred.keys()):
        task = known.get((task_name, periodic_id))
        last = deferred.get((task_name, periodic_id))
        found.append(
            Schedule(
                task_name,
                periodic_id,
                cron=task.cron if task else None,
                next_at=_moment(task.croniter.get_next(float, time.time())) if task else None,
                last_at=_moment(last.defer_timestamp) if last else None,
                last_job_id=last.job_id if last else None,
            )
        )
    return found


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
