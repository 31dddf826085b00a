"""What stock Procrastinate runs: a plain task for users' logs, and a rescue as it documents it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joblogs.benchmark import plain_task
from joblogs.queues import HIGH

if TYPE_CHECKING:
    from procrastinate import App, JobContext

#: A periodic task of ours that needs our engine, if there is one.
OURS = "joblogs.tasks.rescue_stalled_jobs"


def register(app: App) -> None:
    plain_task.register(app)
    app.tasks.pop(OURS, None)
    app.periodic_registry.periodic_tasks.pop((OURS, ""), None)
    # Every minute, which is as often as periodic tasks should run; the documentation has ten.
    # https://procrastinate.readthedocs.io/en/stable/howto/production/retry_stalled_jobs.html
    app.periodic(cron="* * * * *")(
        app.task(queue=HIGH, queueing_lock="retry_stalled_jobs", pass_context=True)(
            retry_stalled_jobs
        )
    )


async def retry_stalled_jobs(context: JobContext, timestamp: int) -> None:
    """Retry the jobs of workers without a heartbeat for 30 seconds."""
    for job in await context.app.job_manager.get_stalled_jobs():
        await context.app.job_manager.retry_job(job)
