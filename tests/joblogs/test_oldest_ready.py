"""Which job has been ready longest, and for how long."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from joblogs.models import JobQueue
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblogs.models import Job

    MakeWaiting = Callable[..., int]

pytestmark = pytest.mark.django_db

OLDEST = "SELECT queue_name, job_id, waited FROM joblogs_oldest_ready_v1(%s::varchar[])"
ADD_MANY = (
    "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, lock, scheduled_at)"
    " SELECT %s, 'many', 0, '{}', %s, now() + %s FROM generate_series(1, %s)"
)
# To look at each of 20,000 jobs takes one for each.
FEW_PAGES = 3_000


def oldest(*queues: str) -> dict[str, tuple[int, float]]:
    """Return for each queue the job and its seconds."""
    rows = execute(OLDEST, list(queues) or None)
    return {queue: (job_id, waited) for queue, job_id, waited in rows}


def about(seconds: float) -> Any:
    """Leave slow machines some time."""
    return pytest.approx(seconds, abs=20)


@pytest.fixture
def waiting(make_job: Callable[..., Job]) -> MakeWaiting:
    """Put a job into the table that was deferred so many seconds ago: waiting(60, queue=...)."""

    def make(seconds: int, **options: Any) -> int:
        job = make_job(**({"queue": "mail"} | options))
        age = timedelta(seconds=seconds)
        execute("UPDATE procrastinate_events SET at = at - %s WHERE job_id = %s", age, job.pk)
        return int(job.pk)

    return make


def test_of_each_queue_it_is_the_one_that_was_deferred_first(waiting: MakeWaiting) -> None:
    mail, other = waiting(60), waiting(70, queue="other")
    waiting(50), waiting(40, queue="other")
    assert oldest() == {"mail": (mail, about(60)), "other": (other, about(70))}
    assert oldest("other", "nobody's") == {"other": (other, about(70))}


def test_there_is_none_when_nothing_waits(make_job: Callable[..., Job]) -> None:
    for status in ("doing", "succeeded", "failed", "cancelled"):
        make_job(status)
    assert oldest() == {}


def test_a_scheduled_job_waits_since_its_time(waiting: MakeWaiting) -> None:
    now = timezone.now()
    waiting(500, schedule_at=now + timedelta(seconds=30))
    assert oldest() == {}
    waiting(500, schedule_at=now - timedelta(seconds=20))
    due = waiting(500, schedule_at=now - timedelta(seconds=30))
    assert oldest() == {"mail": (due, about(30))}


def test_a_job_late_from_the_start_waits_since_it_was_deferred(
    waiting: MakeWaiting,
) -> None:
    late = waiting(30, schedule_at=timezone.now() - timedelta(days=1))
    assert oldest() == {"mail": (late, about(30))}


@pytest.mark.parametrize("back_from", ["doing", "failed"])
def test_a_job_that_is_back_waits_since_then(waiting: MakeWaiting, back_from: str) -> None:
    pk = waiting(500)
    execute("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", back_from, pk)
    execute("UPDATE procrastinate_jobs SET status = 'todo' WHERE id = %s", pk)
    assert oldest() == {"mail": (pk, about(0))}


def test_a_job_behind_a_held_lock_is_not_ready(
    waiting: MakeWaiting, make_job: Callable[..., Job]
) -> None:
    running = make_job("doing", lock="account 1")
    first = waiting(60, lock="account 1")
    waiting(50, lock="account 1")
    assert oldest() == {}
    execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", running.pk)
    assert oldest() == {"mail": (first, about(60))}


def test_a_job_behind_one_that_is_scheduled_is_not_ready(waiting: MakeWaiting) -> None:
    waiting(60, lock="account 1", schedule_in={"hours": 1})
    waiting(50, lock="account 1")
    assert oldest() == {}


def test_a_ready_job_is_found_behind_hundreds_that_are_not(
    waiting: MakeWaiting, make_job: Callable[..., Job]
) -> None:
    make_job("doing", lock="account 1")
    execute(ADD_MANY, "mail", "account 1", None, 500)
    free = waiting(60, lock="account 2")
    assert oldest() == {"mail": (free, about(60))}


@pytest.mark.parametrize("lock", [None, "account 1"])
def test_a_job_that_others_always_go_ahead_of_is_found(
    waiting: MakeWaiting, lock: str | None
) -> None:
    low = waiting(600, priority=-5, lock=lock)
    for priority in range(150):
        waiting(1, priority=priority)
    assert oldest() == {"mail": (low, about(600))}


def test_paused_queues_are_left_out(waiting: MakeWaiting) -> None:
    waiting(60)
    other = waiting(50, queue="other")
    JobQueue.objects.pause("mail")
    assert oldest() == {"other": (other, about(50))}
    assert oldest("mail") == {}
    JobQueue.objects.resume("mail")
    assert list(oldest("mail")) == ["mail"]


def test_times_without_end_do_no_harm(waiting: MakeWaiting) -> None:
    never, always = waiting(60), waiting(50)
    execute("UPDATE procrastinate_jobs SET scheduled_at = 'infinity' WHERE id = %s", never)
    execute("UPDATE procrastinate_jobs SET scheduled_at = '-infinity' WHERE id = %s", always)
    assert oldest() == {"mail": (always, about(50))}
    execute("UPDATE procrastinate_events SET at = '-infinity' WHERE job_id = %s", always)
    assert oldest() == {}


def test_the_cost_does_not_grow_with_the_jobs(
    waiting: MakeWaiting, make_job: Callable[..., Job]
) -> None:
    make_job("doing", lock="account 1")
    began = time.monotonic()
    first = waiting(60)
    for queue, lock, wait in [
        ("mail", None, None),
        ("mail", None, timedelta(days=1)),
        ("mail", "account 1", None),
        ("other", "account 1", timedelta(days=1)),
    ]:
        execute(ADD_MANY, queue, lock, wait, 5_000)
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {OLDEST}"
    [[[told]]] = execute(explain, None)
    plan = (json.loads(told) if isinstance(told, str) else told)["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < FEW_PAGES
    # Making so many may take longer than `about` allows.
    assert oldest() == {"mail": (first, about(60 + time.monotonic() - began))}
