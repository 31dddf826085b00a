"""Jobs of these tests' tasks, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procrastinate.contrib.django import app

from joblogs.models import Job, JobLog
from tests.sql import execute

if TYPE_CHECKING:
    from procrastinate.jobs import JobDeferrer

FOLDER = "tests.engine_processes.tasks"


def job(task: str, **options: Any) -> JobDeferrer:
    """Name a task, for jobs with these options: job("note", queue="low").defer(number=1)."""
    return app.configure_task(f"{FOLDER}.{task}", **options)


def effects() -> list[int]:
    """Return the numbers that jobs have written, in order."""
    return [number for (number,) in execute("SELECT number FROM effects ORDER BY number")]


def states() -> set[str]:
    """Return the states in which jobs of these tests are."""
    return {each.status for each in Job.objects.filter(task_name__startswith=FOLDER)}


def counted_outcomes() -> dict[tuple[int, str], int]:
    """Count the logs of these jobs, by attempt and outcome."""
    counts: dict[tuple[int, str], int] = {}
    for log in JobLog.objects.filter(task_name__startswith=FOLDER):
        counts[log.attempt, log.outcome] = counts.get((log.attempt, log.outcome), 0) + 1
    return counts
