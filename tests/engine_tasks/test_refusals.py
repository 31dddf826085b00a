"""What PostgreSQL refuses, whatever the reason, is tried again until somebody has mended it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from joblogs.engine import contact
from joblogs.engine.worker import Worker
from joblogs.models import JobLog, JobWorker
from tests.jobs import outcomes, statuses
from tests.sql import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from joblogs.engine.fetched import FetchedJob

pytestmark = pytest.mark.django_db(transaction=True)

# How often something has been tried when it has been tried again.
AGAIN = 4

MOVE = "ALTER FUNCTION joblogs_fetch_jobs_v1 RENAME TO moved_away"
MOVE_BACK = "ALTER FUNCTION moved_away RENAME TO joblogs_fetch_jobs_v1"


class Guard:
    """A trigger that refuses rows, and counts them."""

    def __init__(self) -> None:
        self.is_on = False
        elsewhere("CREATE SEQUENCE refused")
        elsewhere(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " PERFORM nextval('refused'); RAISE 'not with me'; END; $$"
        )

    def refuse(self, change: str, condition: str = "true") -> None:
        """Refuse these changes: "UPDATE ON procrastinate_jobs"."""
        elsewhere(
            f"CREATE TRIGGER guard BEFORE {change} FOR EACH ROW WHEN ({condition})"
            " EXECUTE FUNCTION refuse()"
        )
        self.is_on = True

    @property
    def times(self) -> int:
        [(times,)] = elsewhere("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM refused")
        return int(times)

    def end(self) -> None:
        """Refuse nothing any more."""
        elsewhere("DROP FUNCTION IF EXISTS refuse CASCADE")
        self.is_on = False


@pytest.fixture
def guard(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    monkeypatch.setattr(contact, "LONGEST", 0.1)
    monkeypatch.setattr(contact, "BRIEF", 0.0)
    guard = Guard()
    yield guard
    guard.end()
    elsewhere("DROP SEQUENCE refused")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """Count the lines that begin like this."""
    caplog.set_level("INFO")
    return lambda begin: sum(line.startswith(begin) for line in caplog.messages)


def test_a_refused_fetch_is_tried_on_and_told_once(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    guard: Guard,
    said: Callable[[str], int],
) -> None:
    guard.refuse("UPDATE ON procrastinate_jobs", "new.status = 'doing'")
    job_id = task(lambda: None).defer()

    def until() -> bool:
        if guard.is_on and guard.times >= AGAIN:
            assert statuses(job_id) == ["todo"]
            guard.end()
        return bool(outcomes(job_id))

    run_worker(until)
    assert outcomes(job_id) == [(1, "succeeded")]
    assert said("No jobs can be fetched: not with me") == 1
    assert said("Jobs can be fetched again") == 1
    assert said("PostgreSQL cannot be used") == 0


def test_a_fetch_that_fails_unforeseen_is_retried_and_told_once(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[str], int],
) -> None:
    monkeypatch.setattr(contact, "BRIEF", 0.0)
    times = 0
    start = Worker.start

    def fail(worker: Worker, starts: list[list[FetchedJob]]) -> None:
        nonlocal times
        times += 1
        if times <= AGAIN:
            raise LookupError("what is that?")
        start(worker, starts)

    monkeypatch.setattr(Worker, "start", fail)
    job_id = task(lambda: None).defer()
    run_worker(lambda: outcomes(job_id))
    assert outcomes(job_id) == [(1, "succeeded")]
    assert said("A fetch failed in an unforeseen way.") == 1
    assert said("No jobs can be fetched: LookupError('what is that?')") == 1


def test_a_fetch_is_tried_until_its_function_is_back(
    task: Callable[..., Any], run_worker: Callable[..., None], said: Callable[[str], int]
) -> None:
    working = task(lambda: None)
    jobs: list[int] = []
    is_moved = False

    def until() -> bool:
        nonlocal is_moved
        if not jobs and JobWorker.objects.exists():
            elsewhere(MOVE)
            is_moved = True
            jobs.append(working.defer())
        if is_moved and said("No jobs can be fetched: function joblogs_fetch_jobs_v1"):
            elsewhere(MOVE_BACK)
            is_moved = False
        return bool(jobs and outcomes(jobs[0]))

    try:
        run_worker(until)
    finally:
        if is_moved:
            elsewhere(MOVE_BACK)
    assert outcomes(jobs[0]) == [(1, "succeeded")]
    assert said("Jobs can be fetched again") == 1


def test_a_refused_end_keeps_its_slot_until_it_is_written(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    guard: Guard,
    said: Callable[[str], int],
) -> None:
    ran: list[int] = []

    def work(*, n: int) -> None:
        ran.append(n)

    working = task(work)
    first, second = (working.defer(n=n) for n in (1, 2))
    guard.refuse("INSERT ON job_logs")

    def until() -> bool:
        if guard.is_on and guard.times >= AGAIN:
            assert statuses(first, second) == ["doing", "todo"]
            guard.end()
        return bool(outcomes(second))

    run_worker(until, concurrency=1)
    assert ran == [1, 2]
    assert (outcomes(first), outcomes(second)) == ([(1, "failed")], [(1, "succeeded")])
    message = JobLog.objects.get(job_id=first).error_message
    assert message.startswith("It ended as succeeded, which could not be written down: not with me")
    assert said("No end of a job can be written down: not with me") == 1
    assert said("Ends can be written down again") == 1


def test_a_refused_end_does_not_hold_up_those_of_other_jobs(
    task: Callable[..., Any], run_worker: Callable[..., None], guard: Guard
) -> None:
    working = task(lambda: None)
    refused, *others = (working.defer() for _ in range(6))
    guard.refuse("INSERT ON job_logs", f"new.job_id = {refused}")

    def until() -> bool:
        others_ended = all(outcomes(job_id) for job_id in others)
        if guard.is_on and others_ended and guard.times >= AGAIN:
            assert statuses(refused, *others) == ["doing"] + ["succeeded"] * 5
            guard.end()
        return bool(outcomes(refused))

    run_worker(until, concurrency=2)
    assert outcomes(refused) == [(1, "failed")]
