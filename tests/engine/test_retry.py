"""Procrastinate's `retry_job_by_id` works for every job for which it makes sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from joblogs.models import Job, JobLog
from tests.engine.manager import manager
from tests.jobs import events, lost
from tests.sql import execute
from tests.workers import add_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


pytestmark = pytest.mark.django_db

LATER = datetime(2080, 1, 2, 3, 4, 5, tzinfo=UTC)
ENDED = ("failed", "cancelled", "aborted")


@pytest.fixture(params=["plain", "asynchronous"])
def retry(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Retry a job, due at once if not told otherwise: retry(id, at, queue="low", ...)."""

    def call(job_id: int, at: datetime | None = None, **options: Any) -> None:
        at = at or datetime.now(tz=UTC)
        if request.param == "plain":
            manager().retry_job_by_id(job_id, at, **options)
        else:
            async_to_sync(manager().retry_job_by_id_async)(job_id, at, **options)

    return call


@pytest.fixture
def make(add: Callable[..., int]) -> Callable[..., int]:
    """Bring a job into a state and return its id: make("failed", attempts=3, lock="x", ...)."""

    def call(status: str, *, attempts: int = 0, worker: int | None = None, **options: Any) -> int:
        job_id = add(**options)
        execute(
            "UPDATE procrastinate_jobs SET status = %s, attempts = %s, worker_id = %s"
            " WHERE id = %s",
            *(status, attempts, worker, job_id),
        )
        return job_id

    return call


@pytest.fixture(params=["gone", "silent"])
def dead(request: pytest.FixtureRequest) -> int | None:
    """A worker that died; None when its row is gone."""
    return None if request.param == "gone" else add_worker(stock=True, silent_for=31)


def row(job_id: int) -> dict[str, Any]:
    return dict(Job.objects.filter(pk=job_id).values().get())


def state(job_id: int) -> tuple[str, int, bool, int | None]:
    job = Job.objects.get(pk=job_id)
    return job.status, job.attempts, job.abort_requested, job.worker_id


@pytest.mark.parametrize("status", ENDED)
def test_an_ended_job_is_queued_with_its_attempts_counted_once(
    retry: Callable[..., None], make: Callable[..., int], status: str
) -> None:
    # A stock worker leaves its id.
    job = make(
        status, attempts=3, worker=add_worker(stock=True), queue="mail", lock="x", priority=7
    )
    retry(job, LATER)
    assert state(job) == ("todo", 3, False, None)
    after = row(job)
    assert (after["queue_name"], after["lock"], after["priority"]) == ("mail", "x", 7)
    assert after["scheduled_at"] == LATER
    assert events(job).count("retried") == 1
    assert not JobLog.objects.exists()


@pytest.mark.parametrize("status", [*ENDED, "doing"])
def test_queue_lock_and_priority_can_be_given(
    retry: Callable[..., None], make: Callable[..., int], status: str
) -> None:
    job = make(status, queue="mail", lock="x", priority=7)
    retry(job, LATER, queue="low", lock="y", priority=-1)
    after = row(job)
    assert (after["status"], after["scheduled_at"]) == ("todo", LATER)
    assert (after["queue_name"], after["lock"], after["priority"]) == ("low", "y", -1)


def test_a_job_to_be_aborted_and_then_cancelled_is_queued(
    retry: Callable[..., None], add: Callable[..., int]
) -> None:
    job = add()
    manager().cancel_job_by_id(job, abort=True)
    assert state(job) == ("cancelled", 0, True, None)
    retry(job)
    assert state(job) == ("todo", 0, False, None)


@pytest.mark.django_db(transaction=True)
def test_each_attempt_is_counted_once_from_the_failure_to_the_end(
    retry: Callable[..., None],
    add: Callable[..., int],
    fetch: Callable[..., list[list[int]]],
    end: Callable[..., None],
) -> None:
    job = add()
    assert fetch() == [[job]]
    end(job, status="failed", outcome="failed")
    retry(job)
    assert fetch() == [[job]]
    end(job, attempts=1)
    assert state(job) == ("succeeded", 2, False, None)
    logs = JobLog.objects.order_by("attempt").values_list("attempt", "outcome")
    assert list(logs) == [(1, "failed"), (2, "succeeded")]


@pytest.mark.parametrize(
    ("status", "reason"),
    [("todo", "waiting"), ("doing", "running, abort it first"), ("succeeded", "succeeded")],
)
def test_a_job_for_which_it_makes_no_sense_is_left_alone(
    retry: Callable[..., None], make: Callable[..., int], status: str, reason: str
) -> None:
    job = make(status, worker=add_worker(stock=True))
    before = row(job)
    with (
        pytest.raises(ConnectorException, match=f"^Job {job} cannot be retried: {reason}$"),
        transaction.atomic(),
    ):
        retry(job)
    assert row(job) == before
    assert not JobLog.objects.exists()


def test_a_job_that_is_not_there_is_told_apart(retry: Callable[..., None]) -> None:
    with pytest.raises(ConnectorException, match="Job 7000000000 cannot be retried: not found"):
        retry(7_000_000_000)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_silent_lives_while_it_holds_its_lock(
    retry: Callable[..., None], make: Callable[..., int], connect: Callable[[], psycopg.Connection]
) -> None:
    worker = add_worker(stock=True, silent_for=31)
    job = make("doing", worker=worker)
    its_session = connect()
    its_session.execute("SELECT pg_advisory_lock(joblogs_worker_lock_v1(%s))", [worker])
    with pytest.raises(ConnectorException, match="running"):
        retry(job)
    assert state(job) == ("doing", 0, False, worker)
    its_session.execute("SELECT pg_advisory_unlock_all()")
    retry(job)
    assert state(job) == ("todo", 1, False, None)


def test_a_running_job_whose_worker_is_gone_is_back_and_was_lost(
    retry: Callable[..., None], make: Callable[..., int], dead: int | None
) -> None:
    job = make("doing", attempts=2, worker=dead, queue="mail")
    retry(job, LATER)
    assert state(job) == ("todo", 3, False, None)
    assert row(job)["scheduled_at"] == LATER
    assert events(job).count("deferred_for_retry") == 1
    log = JobLog.objects.get()
    assert (log.job_id, log.attempt, log.outcome) == (job, 3, "lost")
    assert (log.task_name, log.queue_name) == ("one", "mail")
    assert log.worker == (f"worker {dead}" if dead else "unknown")
    assert log.error_message
    assert timedelta(0) <= log.finished_at - log.started_at < timedelta(seconds=20)


def test_the_record_names_the_workers_host_and_process_if_known(
    retry: Callable[..., None], make: Callable[..., int]
) -> None:
    worker = add_worker(stock=True, silent_for=31)
    execute(
        "SELECT joblogs_describe_worker_v1(%s, jsonb_build_object('name', 'it', 'host', 'kiel',"
        " 'pid', 42, 'concurrency', 1, 'running', 1, 'version', '1', 'state', 'running', 'memory',"
        " 0, 'holds_lock', false, 'age', 0))",
        worker,
    )
    retry(make("doing", worker=worker))
    assert JobLog.objects.get().worker == "kiel:42"


def test_a_job_that_was_to_be_aborted_is_when_its_worker_is_gone(
    retry: Callable[..., None], make: Callable[..., int], dead: int | None
) -> None:
    job = make("doing", worker=dead)
    manager().cancel_job_by_id(job, abort=True)
    retry(job)
    assert state(job) == ("aborted", 1, False, None)
    assert lost(job) == [1]


@pytest.mark.parametrize("status", ENDED)
def test_an_ended_job_with_a_queued_twin_is_left_alone(
    retry: Callable[..., None], make: Callable[..., int], add: Callable[..., int], status: str
) -> None:
    job = make(status, attempts=1, queueing_lock="invoice")
    twin = add(queueing_lock="invoice")
    before, notes = row(job), events(job)
    with transaction.atomic():
        with pytest.raises(AlreadyEnqueued, match=f"Job {job} cannot be retried: .*queueing lock"):
            retry(job)
        # The transaction goes on.
        assert row(job) == before
    assert events(job) == notes
    assert state(twin) == ("todo", 0, False, None)


def test_a_job_with_a_queued_twin_fails_when_its_worker_is_gone(
    retry: Callable[..., None], make: Callable[..., int], add: Callable[..., int], dead: int | None
) -> None:
    job = make("doing", worker=dead, queueing_lock="invoice")
    add(queueing_lock="invoice")
    with transaction.atomic(), pytest.raises(AlreadyEnqueued):
        retry(job)
    assert state(job) == ("failed", 1, False, None)
    assert lost(job) == [1]


def test_a_twin_that_is_running_is_in_nobodys_way(
    retry: Callable[..., None], make: Callable[..., int]
) -> None:
    job = make("failed", queueing_lock="invoice")
    make("doing", queueing_lock="invoice")
    retry(job)
    assert state(job) == ("todo", 0, False, None)
