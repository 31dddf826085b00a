"""The background tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procrastinate.contrib.django import app

from joblogs.engine.batch import BatchJob, batch_task
from joblogs.engine.retry import ExponentialBackoff
from joblogs.models import UserLog
from joblogs.queues import DEFAULT, HIGH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procrastinate import JobContext


@batch_task(queue=DEFAULT, retry=ExponentialBackoff())
def create_user_log(jobs: Sequence[BatchJob]) -> None:
    """Write the logs of users who were just created, exactly once a job.

    Deferred in the transaction that creates the user: `create_user_log.defer(user_id=1)`. Queue,
    priority and time can be set for one call, with the queues named in `joblogs.queues`:
    `create_user_log.configure(queue=HIGH, priority=5, schedule_in={"hours": 1}).defer(user_id=1)`;
    to do it at once: `run_now(create_user_log, user_id=1)`.
    """
    users = [_user_of(**job.arguments) for job in jobs]
    pairs = [(user_id, job.id) for user_id, job in zip(users, jobs, strict=True)]
    for job, user_id, written in zip(jobs, users, UserLog.objects.write_many(pairs), strict=True):
        if not written:
            job.result = f"user {user_id} was deleted, there is nothing to log"


def _user_of(*, user_id: Any) -> int:
    """Return the argument of such a job; raises TypeError for others."""
    return int(user_id)


@app.periodic(cron="* * * * *")
@app.task(queue=HIGH, priority=1_000, pass_context=True, queueing_lock="rescue_stalled_jobs")
async def rescue_stalled_jobs(context: JobContext, timestamp: int) -> str | None:
    """Give the jobs of workers that died (no heartbeat for 30 seconds) back to their queues.

    Ahead of any backlog, as long as some worker serves the queue `high`.
    """
    manager = context.app.job_manager
    told = []
    for job in await manager.get_stalled_jobs():
        verdict = await manager.give_back(job)  # type: ignore[attr-defined]  # the app's type is stock, its manager ours
        told.append(f"{job.id}" if verdict == "finished" else f"{job.id} ({verdict})")
    return f"rescued jobs {', '.join(told)}" if told else None
