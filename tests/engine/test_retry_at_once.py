"""What else happens to a job at the moment at which it is retried."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from joblogs.models import Job, JobLog
from tests.engine.manager import manager
from tests.sql import execute, somebody_waits_for_a_lock
from tests.waiting import wait_for
from tests.workers import add_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    InThreads = Callable[..., list[BaseException | None]]

pytestmark = pytest.mark.django_db(transaction=True)


def retry(job_id: int) -> None:
    manager().retry_job_by_id(job_id, datetime.now(tz=UTC))


def retry_on_pages(job_id: int) -> None:
    verdict = Job.objects.filter(pk=job_id).retry()
    if verdict.refused:
        raise ConnectorException(verdict.refused[job_id])


# Both ways to retry a job.
WAYS = [retry, retry_on_pages]


def state(job_id: int) -> tuple[str, int, int | None]:
    job = Job.objects.get(pk=job_id)
    return job.status, job.attempts, job.worker_id


def set_job(job_id: int, status: str, worker: int | None = None) -> None:
    """Give a job a status and a worker."""
    execute(
        "UPDATE procrastinate_jobs SET status = %s, worker_id = %s WHERE id = %s",
        *(status, worker, job_id),
    )


@pytest.fixture
def silent(transactional_db: None) -> int:
    """A worker that died."""
    return add_worker(stock=True, silent_for=60)


@pytest.fixture
def retry_during(
    connect: Callable[[], psycopg.Connection], in_threads: InThreads
) -> Callable[..., BaseException | None]:
    """Retry something while it waits for a transaction to end; return what is raised, or None."""

    def call(
        attempt: Callable[[], None], query: str, *parameters: object, commit: bool = True
    ) -> BaseException | None:
        other = connect()
        began = threading.Event()

        def change() -> None:
            try:
                other.execute(query.encode(), parameters)
                began.set()
                wait_for(somebody_waits_for_a_lock)
            finally:
                other.commit() if commit else other.rollback()

        def retry_then() -> None:
            assert began.wait(20)
            attempt()

        error, raised = in_threads(change, retry_then)
        assert error is None
        return raised

    return call


@pytest.mark.parametrize("status", ["failed", "doing"])
@pytest.mark.parametrize("second", WAYS)
def test_of_several_who_retry_a_job_one_does(
    add: Callable[..., int], in_threads: InThreads, status: str, second: Callable[[int], None]
) -> None:
    job = add()
    set_job(job, status)
    raised = in_threads(*([lambda: retry(job), lambda: second(job)] * 2))
    refused = [error for error in raised if error is not None]
    assert len(refused) == 3
    assert all(isinstance(error, ConnectorException) for error in refused), refused
    assert state(job) == ("todo", int(status == "doing"), None)
    assert JobLog.objects.count() == int(status == "doing")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("commit", [True, False])
def test_a_twin_that_is_being_deferred_counts_if_it_is_committed(
    add: Callable[..., int],
    retry_during: Callable[..., BaseException | None],
    way: Callable[[int], None],
    *,
    commit: bool,
) -> None:
    job = add(queueing_lock="invoice")
    set_job(job, "failed")
    raised = retry_during(
        lambda: way(job),
        "INSERT INTO procrastinate_jobs (task_name, queue_name, queueing_lock)"
        " VALUES ('one', 'default', 'invoice')",
        commit=commit,
    )
    assert ("queueing lock" in str(raised)) is commit
    assert state(job) == ("failed" if commit else "todo", 0, None)


@pytest.mark.parametrize("way", WAYS)
def test_a_job_that_is_being_rescued_is_given_back_once(
    add: Callable[..., int],
    silent: int,
    retry_during: Callable[..., BaseException | None],
    way: Callable[[int], None],
) -> None:
    job = add()
    set_job(job, "doing", silent)
    raised = retry_during(
        lambda: way(job), "SELECT * FROM joblogs_rescue_jobs_v1(30, 3, '{}', '{}', 100)"
    )
    assert "waiting" in str(raised)
    assert state(job) == ("todo", 1, None)
    assert JobLog.objects.count() == 1


def test_a_job_whose_dead_worker_is_being_removed_is_given_back(
    add: Callable[..., int], silent: int, retry_during: Callable[..., BaseException | None]
) -> None:
    job = add()
    set_job(job, "doing", silent)
    # As a stock worker does when it starts.
    prune = "SELECT procrastinate_prune_stalled_workers_v1(30)"
    assert retry_during(lambda: retry(job), prune) is None
    assert state(job) == ("todo", 1, None)


@pytest.mark.parametrize(
    ("way", "status", "whose"),
    [
        (retry, "failed", ""),
        (retry, "failed", "worker"),
        (retry, "doing", "silent"),
        (retry_on_pages, "failed", ""),
    ],
)
def test_a_job_that_is_started_meanwhile_is_left_to_its_worker(
    request: pytest.FixtureRequest,
    add: Callable[..., int],
    worker: int,
    retry_during: Callable[..., BaseException | None],
    way: Callable[[int], None],
    status: str,
    whose: str,
) -> None:
    job = add()
    set_job(job, status, request.getfixturevalue(whose) if whose else None)
    raised = retry_during(
        lambda: way(job),
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s",
        *(worker, job),
    )
    assert "running" in str(raised)
    assert state(job) == ("doing", 0, worker)


def test_the_worker_that_comes_back_has_lost_the_job(
    add: Callable[..., int], silent: int, fetch: Callable[..., list[list[int]]], worker: int
) -> None:
    job = add()
    set_job(job, "doing", silent)
    retry(job)
    execute("UPDATE procrastinate_workers SET last_heartbeat = now()")
    attempt = '{"attempts": 0, "status": "succeeded", "delete": false}'
    ((_, verdict),) = execute(
        "SELECT * FROM joblogs_finish_jobs_v1(%s, 'it', jsonb_build_object(%s::text, %s::jsonb))",
        *(silent, job, attempt),
    )
    assert verdict == "not owned"
    assert fetch() == [[job]]
    assert state(job) == ("doing", 1, worker)


def test_jobs_of_a_dead_worker_can_be_retried_at_the_same_time(
    add: Callable[..., int], silent: int, connect: Callable[[], psycopg.Connection]
) -> None:
    jobs = [add(), add()]
    for job in jobs:
        set_job(job, "doing", silent)
    other = connect()
    other.execute("SELECT joblogs_retry_job_v1(%s, now(), NULL, NULL, NULL)", [jobs[0]])
    retry(jobs[1])
    other.commit()
    assert [state(job) for job in jobs] == [("todo", 1, None)] * 2


def test_a_worker_dies_also_during_a_long_transaction(add: Callable[..., int], silent: int) -> None:
    job = add()
    set_job(job, "doing", silent)
    with transaction.atomic():
        execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '29.9 seconds'")
        wait_for(
            lambda: execute(
                "SELECT 1 FROM procrastinate_workers"
                " WHERE clock_timestamp() - last_heartbeat > interval '30 seconds'"
            )
        )
        retry(job)
    assert state(job) == ("todo", 1, None)


@pytest.mark.parametrize(
    ("way", "error"), [(retry, AlreadyEnqueued), (retry_on_pages, IntegrityError)]
)
def test_a_twin_out_of_sight_is_an_error_and_not_waited_for(
    add: Callable[..., int],
    connect: Callable[[], psycopg.Connection],
    way: Callable[[int], None],
    error: type[Exception],
) -> None:
    job = add(queueing_lock="invoice")
    set_job(job, "failed")
    with transaction.atomic():
        execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert state(job) == ("failed", 0, None)
        with connect() as other:
            other.execute(
                "INSERT INTO procrastinate_jobs (task_name, queue_name, queueing_lock)"
                " VALUES ('one', 'default', 'invoice')"
            )
        with pytest.raises(error):
            way(job)
    assert state(job) == ("failed", 0, None)
