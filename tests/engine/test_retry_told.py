"""Who asks for a job to be retried, and who is told that it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import transaction

from joblogs.models import Job, JobLog
from tests.engine.manager import manager
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(tz=UTC)
LATER = datetime(2080, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def add_as(add: Callable[..., int]) -> Callable[..., int]:
    """Bring a job into a state and return its id."""

    def call(status: str, **options: Any) -> int:
        job_id = add(**options)
        execute("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", status, job_id)
        return job_id

    return call


@pytest.mark.parametrize("status", ["failed", "cancelled", "doing"])
@pytest.mark.parametrize("at", [NOW, LATER])
def test_workers_of_its_queue_are_told_when_that_is_committed(
    add_as: Callable[..., int],
    connect: Callable[[], psycopg.Connection],
    status: str,
    at: datetime,
) -> None:
    job = add_as(status, queue="mail")
    ear = connect()
    ear.autocommit = True
    ear.execute('LISTEN "procrastinate_queue_v1#low"')
    ear.execute("LISTEN procrastinate_any_queue_v1")
    with transaction.atomic():
        manager().retry_job_by_id(job, at, queue="low")
        assert list(ear.notifies(timeout=0)) == []
    told = {notice.channel for notice in ear.notifies(timeout=20, stop_after=2)}
    assert told == {"procrastinate_queue_v1#low", "procrastinate_any_queue_v1"}


@pytest.mark.parametrize(
    ("status", "after", "told"),
    [
        ("failed", "todo", "[todo]"),
        ("doing", "todo", "[todo]"),
        ("succeeded", "succeeded", "cannot be retried: succeeded"),
    ],
)
def test_procrastinates_shell_does_it(
    add_as: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
    status: str,
    after: str,
    told: str,
) -> None:
    job = add_as(status)
    call_command("procrastinate", "shell", "retry", str(job))
    assert told in "".join(capfd.readouterr())
    assert Job.objects.get(pk=job).status == after


def test_procrastinates_own_way_to_retry_stalled_jobs_does_it(add_as: Callable[..., int]) -> None:
    jobs = [add_as("doing"), add_as("doing")]

    async def retry_stalled_jobs() -> None:
        for job in await manager().get_stalled_jobs():
            await manager().retry_job(job)

    async_to_sync(retry_stalled_jobs)()
    for job_id in jobs:
        job = Job.objects.get(pk=job_id)
        assert (job.status, job.attempts) == ("todo", 1)
        assert JobLog.objects.get(job_id=job_id).outcome == "lost"
