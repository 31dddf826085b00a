"""A task for workers of both kinds, which notes when it ran and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from procrastinate.contrib.django import app

from joblogs.engine.app import EngineApp

if TYPE_CHECKING:
    from procrastinate import JobContext


@app.task(name="note", pass_context=True, retry=3)
def note(context: JobContext, failures: int = 0) -> None:
    """Note the run, and fail as often as is said."""
    job = context.job
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs (job, attempt, worker) VALUES (%s, %s, %s) RETURNING id",
            [job.id, job.attempts, "ours" if isinstance(context.app, EngineApp) else "stock"],
        )
        run = cursor.fetchone()
        cursor.execute("SELECT pg_sleep(0.01)")
        cursor.execute("UPDATE runs SET ended = clock_timestamp() WHERE id = %s", run)
    if job.attempts < failures:
        raise ValueError(f"failure {job.attempts + 1} of {failures}")
