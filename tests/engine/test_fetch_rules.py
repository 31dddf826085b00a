"""Which jobs a fetch takes, one rule at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from joblogs.models import Job, JobQueue
from tests.engine.manager import manager
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    Add = Callable[..., int]
    Fetch = Callable[..., list[list[int]]]
    End = Callable[..., None]

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def seconds_until_due(*queues: str) -> float | None:
    return async_to_sync(manager().seconds_until_due)(queues or None)


def test_higher_priority_goes_first_then_the_lower_id(add: Add, fetch: Fetch) -> None:
    low, first, second, high = (add(priority=priority) for priority in (-5, 0, 0, 7))
    assert fetch() == [[high], [first], [second], [low]]
    assert fetch() == []


def test_priority_and_id_count_across_queues_locks_and_times(add: Add, fetch: Fetch) -> None:
    past = timezone.now() - HOUR
    jobs = [
        add(queue="a", lock="x"),
        add(queue="b", schedule_at=past),
        add(queue="a", lock="y", schedule_at=past - HOUR),
        add(queue="b"),
    ]
    urgent = add(queue="c", priority=1, lock="z", schedule_at=past)
    assert fetch("a", "b", "c", starts=3) == [[urgent], [jobs[0]], [jobs[1]]]
    assert fetch() == [[jobs[2]], [jobs[3]]]


def test_a_fetched_job_is_the_workers_with_all_it_had(add: Add, worker: int) -> None:
    due = timezone.now() - HOUR
    options = {"queue": "low", "priority": 3, "lock": "x", "queueing_lock": "y"}
    pk = add("mail", **options, schedule_at=due, task_kwargs={"to": ["alice", None]})
    [[job]] = async_to_sync(manager().fetch_jobs)(None, worker, starts=1, batch_sizes={})
    assert (job.id, job.task_name, job.task_kwargs) == (pk, "mail", {"to": ["alice", None]})
    assert {name: getattr(job, name) for name in options} == options
    assert (job.attempts, job.scheduled_at) == (0, due)
    assert job.waited == pytest.approx(3_600, abs=60)
    row = Job.objects.get(pk=pk)
    assert (row.status, row.worker_id) == ("doing", worker)


def test_no_more_starts_are_made_than_asked_for(add: Add, fetch: Fetch) -> None:
    jobs = [add() for _ in range(5)]
    assert [fetch(starts=2) for _ in range(4)] == [
        [[jobs[0]], [jobs[1]]],
        [[jobs[2]], [jobs[3]]],
        [[jobs[4]]],
        [],
    ]


def test_nothing_starts_before_its_time(add: Add, fetch: Fetch) -> None:
    now = timezone.now()
    late, soon = add(schedule_at=now - HOUR), add(schedule_at=now + HOUR)
    assert fetch() == [[late]]
    execute("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE id = %s", soon)
    assert fetch() == [[soon]]


@pytest.mark.parametrize(
    ("time", "is_due"),
    [("-infinity", True), ("4000-01-01 BC", True), ("infinity", False), ("9999-12-31", False)],
)
def test_times_that_python_does_not_know_are_only_early_or_late(
    add: Add, fetch: Fetch, worker: int, time: str, is_due: bool
) -> None:
    absurd, other = add(lock="x"), add()
    execute("UPDATE procrastinate_jobs SET scheduled_at = %s WHERE id = %s", time, absurd)
    if not is_due:
        assert seconds_until_due() == pytest.approx(365 * 24 * 3_600, rel=0.01)
    assert fetch() == ([[absurd], [other]] if is_due else [[other]])
    assert is_due == (seconds_until_due() is None)


def test_only_the_given_queues_are_served(add: Add, fetch: Fetch) -> None:
    low, default, high = (add(queue=queue) for queue in ("low", "default", "high"))
    assert fetch("low", "high", "nobody's") == [[low], [high]]
    assert fetch("low") == []
    assert fetch() == [[default]]


def test_paused_queues_are_left_alone_until_they_are_resumed(add: Add, fetch: Fetch) -> None:
    low, default = add(queue="low"), add(queue="default")
    JobQueue.objects.pause("low")
    assert fetch("low") == []
    assert fetch() == [[default]]
    JobQueue.objects.resume("low")
    assert fetch("low") == [[low]]


def test_of_a_lock_only_the_first_job_starts_if_none_runs(add: Add, fetch: Fetch, end: End) -> None:
    second, third, first = (add(lock="x", priority=priority) for priority in (0, 0, 1))
    assert fetch() == [[first]]
    assert fetch() == []
    end(first)
    assert fetch() == [[second]]
    end(second, delete=True)
    assert fetch() == [[third]]


@pytest.mark.parametrize("obstacle", ["scheduled", "in a queue of others", "paused"])
def test_the_first_of_a_lock_blocks_others_if_it_cannot_start(
    add: Add, fetch: Fetch, obstacle: str
) -> None:
    # As stock Procrastinate has it.
    schedule = {"schedule_at": timezone.now() + HOUR} if obstacle == "scheduled" else {}
    add(lock="x", queue="low", **schedule)
    add(lock="x")
    free = add()
    if obstacle == "paused":
        JobQueue.objects.pause("low")
    assert fetch(*(["default"] if obstacle == "in a queue of others" else [])) == [[free]]


def test_jobs_of_a_batch_task_come_as_one_start_up_to_its_size(add: Add, fetch: Fetch) -> None:
    jobs = [add("mail") for _ in range(7)]
    other = add("other")
    assert fetch(starts=3, batches={"mail": 3}) == [jobs[:3], jobs[3:6], jobs[6:]]
    assert fetch(starts=3, batches={"mail": 3}) == [[other]]


def test_a_batch_takes_the_place_of_the_first_of_its_jobs(add: Add, fetch: Fetch) -> None:
    first = add("mail")
    others = [add("other") for _ in range(120)]
    last = add("mail")
    assert fetch(starts=2, batches={"mail": 10}) == [[first, last], [others[0]]]


def test_a_batch_is_of_one_queue(add: Add, fetch: Fetch) -> None:
    high, low, low_too = (add("mail", queue=queue) for queue in ("high", "low", "low"))
    assert fetch(batches={"mail": 10}) == [[high], [low, low_too]]


def test_a_batch_has_no_two_jobs_with_one_lock(add: Add, fetch: Fetch, end: End) -> None:
    first, second, other, free = (add("mail", lock=lock) for lock in ("x", "x", "y", None))
    assert fetch(batches={"mail": 10}) == [[first, other, free]]
    assert fetch(batches={"mail": 10}) == []
    end(first, other, free)
    assert fetch(batches={"mail": 10}) == [[second]]


def assert_that_those_behind_are_fetched(add: Add, fetch: Fetch, queues: tuple[str, ...]) -> None:
    """Add jobs behind a crowd, and see that they start."""
    add(lock="later", schedule_at=timezone.now() + HOUR)
    locked, elsewhere, unlocked = add(lock="free"), add(lock="low", queue="low"), add()
    # A lock that is free, but for the jobs of it that come later.
    add(lock="free")
    expected = [[locked], [elsewhere], [unlocked]]
    if queues:
        expected.remove([elsewhere])
    assert fetch(*queues, starts=10) == expected


@pytest.mark.parametrize("queues", [(), ("default",)])
def test_a_crowd_behind_one_lock_hides_nobody(
    add: Add, add_many: Callable[[str], None], fetch: Fetch, queues: tuple[str, ...]
) -> None:
    holder = add(lock="held", priority=9)
    assert fetch() == [[holder]]
    add_many("SELECT 'held', 5, 'default' FROM generate_series(1, 700)")
    assert_that_those_behind_are_fetched(add, fetch, queues)


@pytest.mark.parametrize("queues", [(), ("default",)])
def test_a_crowd_behind_thousands_of_locks_hides_nobody(
    add: Add, add_many: Callable[[str], None], fetch: Fetch, queues: tuple[str, ...]
) -> None:
    crowd = "SELECT 'lock ' || number, 5, 'default' FROM generate_series(1, 2500) AS number"
    add_many(crowd)
    execute("UPDATE procrastinate_jobs SET status = 'doing'")
    add_many(crowd)
    assert_that_those_behind_are_fetched(add, fetch, queues)


def test_the_next_due_time_is_that_of_queues_that_are_served(add: Add) -> None:
    now = timezone.now()
    assert seconds_until_due() is None
    add(queue="default")
    add(queue="default", schedule_at=now - HOUR)
    assert seconds_until_due() is None
    add(queue="default", schedule_at=now + 3 * HOUR, priority=5)
    add(queue="low", schedule_at=now + 2 * HOUR, lock="x")
    add(queue="high", schedule_at=now + HOUR, priority=-5)

    def hours(*queues: str) -> float | None:
        seconds = seconds_until_due(*queues)
        return None if seconds is None else round(seconds / 3_600, 1)

    assert [hours(), hours("low", "default"), hours("default"), hours("none")] == [1, 2, 3, None]
    JobQueue.objects.pause("high")
    assert [hours(), hours("high"), hours("high", "default")] == [2, None, 3]


def test_a_queue_that_is_named_twice_gives_each_job_once(add: Add, fetch: Fetch) -> None:
    job = add(queue="a")
    assert fetch("a", "a") == [[job]]
