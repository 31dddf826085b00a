"""The tasks that are timed beside create_user_log, the same on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procrastinate.contrib.django import app

from joblogs.models import UserLog
from joblogs.queues import DEFAULT

if TYPE_CHECKING:
    from procrastinate import JobContext


@app.task(name="benchmark.write_log", queue=DEFAULT, pass_context=True)
def write_log(context: JobContext, *, user_id: int) -> None:
    """Write a user's log by the ORM, in an ordinary task: one job at a time."""
    UserLog.objects.write(user_id=user_id, job_id=context.job.id)


@app.task(name="benchmark.nothing", queue=DEFAULT)
async def nothing() -> None:
    """Do nothing, asynchronously: what is left is the worker's own cost."""
