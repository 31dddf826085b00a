"""The task of a user's log as stock Procrastinate is best served: without the batch around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joblogs.engine.retry import ExponentialBackoff
from joblogs.queues import DEFAULT

if TYPE_CHECKING:
    from procrastinate import App, JobContext

NAME = "joblogs.tasks.create_user_log"


def register(app: App) -> None:
    """Put the plain task in the place of the batch task, under its name."""
    del app.tasks[NAME]
    app.task(name=NAME, queue=DEFAULT, pass_context=True, retry=ExponentialBackoff())(
        create_user_log
    )


def create_user_log(context: JobContext, *, user_id: int) -> str | None:
    """Write the log of a user who was just created, exactly once a job."""
    from joblogs.models import UserLog  # the apps are not ready when this module is loaded

    if UserLog.objects.write(user_id=user_id, job_id=context.job.id):
        return None
    return f"user {user_id} was deleted, there is nothing to log"
