"""Ended jobs are written down together, at once, and in spite of everything."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from joblogs.models import Job, JobLog
from tests.jobs import outcomes
from tests.processes import database_url
from tests.sql import elsewhere, execute, transactions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

BEGINNING = "Ended jobs wait for the database"
END = "They are written down again"


class Refusal:
    """Lets nobody write into job_logs, until `end` is called."""

    def __init__(self) -> None:
        self.times = 0
        self._holder = psycopg.connect(database_url())
        self._holder.execute("LOCK TABLE job_logs IN EXCLUSIVE MODE")

    def cut(self) -> None:
        """Cut off who tries."""
        self.times += len(
            elsewhere(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND query LIKE '%joblogs_finish_jobs_v1%'"
                " AND datname = current_database()"
            )
        )

    def end(self) -> None:
        self._holder.close()


@pytest.fixture
def refusal() -> Iterator[Refusal]:
    refusal = Refusal()
    yield refusal
    refusal.end()


def test_many_jobs_end_in_few_statements_under_load(
    task: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    async def idle() -> None: ...

    idling = task(idle)
    job_ids = idling.batch_defer(*[{}] * 400)
    run_jobs(concurrency=100)
    assert JobLog.objects.filter(job_id__in=job_ids, outcome="succeeded").count() == 400
    # Each statement is a transaction.
    assert len(transactions_of("job_logs", "job_id", *job_ids)) < 40


def test_a_job_that_ends_alone_is_written_down_at_once(
    task: Callable[..., Any], run_worker: Callable[..., None]
) -> None:
    pk = task(lambda: None).defer()
    run_worker(until=lambda: outcomes(pk))
    log = JobLog.objects.get()
    [(written_at,)] = execute("SELECT max(at) FROM procrastinate_events WHERE type = 'succeeded'")
    assert (written_at - log.finished_at).total_seconds() < 0.5


def test_ended_jobs_that_are_refused_are_kept_and_written_once(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    refusal: Refusal,
    caplog: pytest.LogCaptureFixture,
    lines: Callable[..., list[str]],
) -> None:
    ran: list[int] = []
    lock = threading.Lock()

    def work(*, n: int) -> int:
        with lock:
            ran.append(n)
        return n

    working = task(work)
    job_ids = [working.defer(n=n) for n in range(8)]

    def until() -> bool:
        if BEGINNING not in caplog.text or len(ran) < 8:
            refusal.cut()
            return False
        if not let_go:
            assert lines("tests.work") == []
            refusal.end()
            let_go.append(True)
        return JobLog.objects.count() == 8

    let_go: list[bool] = []
    run_worker(until=until, concurrency=8)
    assert sorted(ran) == list(range(8))
    assert [outcomes(pk) for pk in job_ids] == [[(1, "succeeded")]] * 8
    assert [Job.objects.get(pk=pk).attempts for pk in job_ids] == [1] * 8
    assert [JobLog.objects.get(job_id=pk).result for pk in job_ids] == list(range(8))
    assert len(lines("tests.work")) == 8
    told = [
        word
        for record in caplog.records
        for word in (BEGINNING, END)
        if record.getMessage().startswith(word)
    ]
    assert told == [BEGINNING, END]


def test_what_was_handed_in_first_is_written_first(
    task: Callable[..., Any], run_worker: Callable[..., None], refusal: Refusal
) -> None:
    first_is_in = threading.Event()

    def work(*, n: int) -> None:
        assert n == 0 or first_is_in.wait(10)

    working = task(work)
    job_ids = [working.defer(n=n) for n in range(6)]

    def until() -> bool:
        if refusal.times < 3:
            refusal.cut()
            if refusal.times:
                first_is_in.set()
            return False
        refusal.end()
        return JobLog.objects.count() == 6

    run_worker(until=until, concurrency=6)
    assert JobLog.objects.earliest("id").job_id == job_ids[0]
    assert [outcomes(pk) for pk in job_ids] == [[(1, "succeeded")]] * 6


def test_an_end_that_cannot_be_written_costs_its_job_alone(
    task: Callable[..., Any], run_worker: Callable[..., None]
) -> None:
    def work(*, n: int) -> int:
        return n

    working = task(work)
    job_ids = [working.defer(n=n) for n in range(5)]
    # Whatever the reason: here the table itself does not take a result.
    elsewhere("ALTER TABLE job_logs ADD CONSTRAINT not_three CHECK (result <> '3')")
    try:
        run_worker(until=lambda: JobLog.objects.count() == 5)
    finally:
        elsewhere("ALTER TABLE job_logs DROP CONSTRAINT not_three")
    expected = ["failed" if n == 3 else "succeeded" for n in range(5)]
    assert [outcomes(pk) for pk in job_ids] == [[(1, outcome)] for outcome in expected]
    assert [Job.objects.get(pk=pk).status for pk in job_ids] == expected
    log = JobLog.objects.get(job_id=job_ids[3])
    assert "ended as succeeded, which could not be written down" in log.error_message
