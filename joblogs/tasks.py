"""The background tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joblogs.engine.batch import BatchJob, batch_task
from joblogs.engine.retry import ExponentialBackoff
from joblogs.models import UserLog
from joblogs.queues import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence


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
