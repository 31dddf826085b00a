"""What PostgreSQL does with the jobs of workers that died, statement by statement."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from procrastinate.contrib.django import app

from joblogs.models import Job, JobLog, JobWorker, Worker
from tests.engine.conftest import manager
from tests.processes import database_url

if TYPE_CHECKING:
    from collections.abc import Callable

    Add = Callable[..., int]
    Connect = Callable[[], psycopg.Connection]
    Execute = Callable[..., list[tuple[Any, ...]]]
    Die = Callable[..., int]
    End = Callable[..., None]
    Fetch = Callable[..., list[list[int]]]
    InThreads = Callable[..., list[BaseException | None]]
    Rescue = Callable[..., list["Given"]]
    Tell = Callable[..., None]

pytestmark = pytest.mark.django_db(transaction=True)

RESCUE = "SELECT worker, jobs, ended FROM joblogs_rescue_jobs_v1(20, %s, %s, %s, %s)"


class Given(NamedTuple):
    """What was given back of one worker (None: of nobody), and which of its jobs ended instead."""

    worker: str | None
    jobs: int
    ended: list[int]


def rescue_on(
    connection: psycopg.Connection, *orphans: tuple[int, int], at_most: int = 1_000, deaths: int = 3
) -> list[Given]:
    """Rescue in this connection's transaction; an orphan is an id and a count of attempts."""
    ids, attempts = [pk for pk, _ in orphans], [count for _, count in orphans]
    return [Given(*row) for row in connection.execute(RESCUE, (deaths, ids, attempts, at_most))]


@pytest.fixture
def rescue(transactional_db: None) -> Rescue:
    """Rescue and commit, on a connection of its own."""

    def call(*orphans: tuple[int, int], **options: int) -> list[Given]:
        # It waits for nobody; one that does fails, instead of waiting for its own test.
        session = psycopg.connect(database_url(), autocommit=True, options="-c lock_timeout=5s")
        with closing(session) as connection:
            return rescue_on(connection, *orphans, **options)

    return call


@pytest.fixture
def die(execute: Execute) -> Die:
    """Have jobs run in a new worker, which has been silent for a minute since; return its id."""

    def with_jobs(*jobs: int) -> int:
        [(worker,)] = execute(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '1 minute') RETURNING id"
        )
        execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = ANY (%s)",
            *(worker, list(jobs)),
        )
        return int(worker)

    return with_jobs


@pytest.fixture
def tell(execute: Execute) -> Tell:
    """Write what a worker tells of itself, and when it did."""

    def of(worker: int, *, seconds_ago: float) -> None:
        execute(
            "INSERT INTO job_workers (worker_id, name, host, pid, concurrency, running, version,"
            "   state, memory, holds_lock, started_at, seen_at)"
            " SELECT %s, 'worker', 'there', 42, 1, 0, '1', 'running', 1, true, at, at"
            "   FROM (SELECT now() - make_interval(secs => %s) AS at) AS seen",
            *(worker, seconds_ago),
        )

    return of


def state(*jobs: int) -> list[tuple[str, int]]:
    """Return the status and the count of attempts of each of these jobs."""
    rows = Job.objects.in_bulk(jobs)
    return [(rows[job].status, rows[job].attempts) for job in jobs]


def lost(job: int) -> list[int]:
    """Return the attempts of a job that are on record as lost."""
    logs = JobLog.objects.filter(job_id=job, outcome="lost")
    return sorted(logs.values_list("attempt", flat=True))


def test_each_job_of_a_dead_worker_is_given_back_on_its_own(
    add: Add, die: Die, tell: Tell, rescue: Rescue, connect: Connect
) -> None:
    fine, locked, to_be_aborted = (add() for _ in range(3))
    twin = add(queueing_lock="one")
    worker = die(fine, twin, locked, to_be_aborted)
    tell(worker, seconds_ago=60)
    add(queueing_lock="one")
    Job.objects.filter(pk=to_be_aborted).abort()
    with connect() as other:
        other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [locked])
        [given] = rescue()
        assert (given.worker, given.jobs) == ("there:42", 3)
        assert sorted(given.ended) == sorted([twin, to_be_aborted])
        assert state(fine, twin, to_be_aborted) == [("todo", 1), ("failed", 1), ("aborted", 1)]
        # It is left for the next time, and the worker with it.
        assert state(locked) == [("doing", 0)]
        assert Worker.objects.filter(pk=worker).exists()
        assert rescue() == [("there:42", 0, [])]
    assert rescue() == [("there:42", 1, [])]
    assert state(locked) == [("todo", 1)]
    assert [lost(job) for job in (fine, twin, to_be_aborted, locked)] == [[1]] * 4
    assert set(JobLog.objects.values_list("worker", "error_class")) == {
        ("there:42", "joblogs.WorkerDied")
    }
    assert not Worker.objects.exists()
    assert not JobWorker.objects.exists()


def test_who_rescues_leaves_alone_what_another_is_rescuing(
    add: Add, execute: Execute, die: Die, rescue: Rescue, connect: Connect
) -> None:
    job, orphan = add(), add()
    execute("UPDATE procrastinate_jobs SET status = 'doing'")
    die(job)
    with connect() as first:
        assert [given.jobs for given in rescue_on(first, (orphan, 0))] == [1, 1]
        assert rescue((orphan, 0)) == []
    assert rescue((orphan, 0)) == []
    assert state(job, orphan) == [("todo", 1)] * 2
    assert [lost(job), lost(orphan)] == [[1], [1]]


def test_rescuers_at_the_same_time_give_back_each_job_once(
    add_many: Callable[[str], None], die: Die, rescue: Rescue, in_threads: InThreads
) -> None:
    add_many("SELECT NULL, 0, 'default' FROM generate_series(1, 200)")
    jobs = list(Job.objects.values_list("pk", flat=True))
    for first in range(0, 200, 20):
        die(*jobs[first : first + 20])
    given: list[Given] = []

    def work() -> None:
        # Some at a time, so that they get in each other's way.
        while Worker.objects.exists():
            given.extend(rescue(at_most=7))

    assert in_threads(*[work] * 3) == [None] * 3
    assert sum(each.jobs for each in given) == 200
    assert set(state(*jobs)) == {("todo", 1)}
    assert sorted(JobLog.objects.values_list("job_id", "attempt")) == [(job, 1) for job in jobs]


def test_a_rescue_that_dies_halfway_leaves_the_rest_to_the_next_one(
    add_many: Callable[[str], None], die: Die, rescue: Rescue, connect: Connect
) -> None:
    add_many("SELECT NULL, 0, 'default' FROM generate_series(1, 2500)")
    jobs = list(Job.objects.values_list("pk", flat=True))
    die(*jobs)
    assert [given.jobs for given in rescue()] == [1_000]
    dying = connect()
    assert [given.jobs for given in rescue_on(dying)] == [1_000]
    with connect() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [dying.info.backend_pid])
    assert Job.objects.filter(status="doing").count() == 1_500
    assert [[given.jobs for given in rescue()] for _ in range(3)] == [[1_000], [500], []]
    assert set(state(*jobs)) == {("todo", 1)}
    assert sorted(JobLog.objects.values_list("job_id", "attempt")) == [(job, 1) for job in jobs]


def test_a_worker_whose_lock_is_held_keeps_its_row_and_its_jobs_whatever_its_heartbeat(
    add: Add, die: Die, rescue: Rescue, connect: Connect
) -> None:
    kept, given_up = add(), add()
    living, dead = die(kept), die(given_up)
    with connect() as its_session:
        its_session.execute("SELECT pg_advisory_lock(joblogs_worker_lock_v1(%s))", [living])
        assert rescue() == [(f"worker {dead}", 1, [])]
        assert Worker.objects.get().pk == living
        # As a stock worker does when it starts.
        assert async_to_sync(manager().prune_stalled_workers)(20) == []
        assert Worker.objects.get().pk == living
        assert state(kept) == [("doing", 0)]
        assert Job.objects.get(pk=kept).worker_id == living
        its_session.execute("SELECT pg_advisory_unlock_all()")
    assert async_to_sync(manager().prune_stalled_workers)(20) == [living]


@pytest.mark.parametrize(("kind", "timeout"), [("ours", 20), ("stock", 40)])
def test_a_worker_is_dead_only_after_some_time_and_a_stock_one_after_twice_as_long(
    add: Add, die: Die, tell: Tell, rescue: Rescue, execute: Execute, kind: str, timeout: int
) -> None:
    worker = die(add())
    if kind == "ours":
        tell(worker, seconds_ago=0)
    ago = "UPDATE procrastinate_workers SET last_heartbeat = now() - make_interval(secs => %s)"
    execute(ago, timeout - 5)
    assert rescue() == []
    execute(ago, timeout + 1)
    assert [given.jobs for given in rescue()] == [1]


def test_a_job_of_nobody_is_given_back_only_as_it_was_seen(
    add: Add, rescue: Rescue, execute: Execute, worker: int
) -> None:
    orphan, run_since, taken_back, ended = (add() for _ in range(4))
    execute("UPDATE procrastinate_jobs SET status = 'doing'")
    execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE id = %s", run_since)
    execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", ended)
    execute("UPDATE procrastinate_jobs SET worker_id = %s WHERE id = %s", worker, taken_back)
    seen = [(job, 0) for job in (orphan, run_since, taken_back, ended)]
    assert rescue(*seen) == [(None, 1, [])]
    assert state(orphan, run_since, taken_back) == [("todo", 1), ("doing", 1), ("doing", 0)]
    assert state(ended) == [("failed", 0)]
    assert list(JobLog.objects.values_list("job_id", "worker")) == [(orphan, "unknown")]


def test_what_a_worker_told_of_itself_goes_some_time_after_its_registration(
    worker: int, tell: Tell, rescue: Rescue
) -> None:
    tell(worker, seconds_ago=60)
    tell(worker + 1_000, seconds_ago=60)
    tell(worker + 2_000, seconds_ago=10)
    assert rescue() == []
    assert {each.worker_id for each in JobWorker.objects.all()} == {worker, worker + 2_000}


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_job_fails_at_its_last_death_and_runs_once_more_for_each_retry_by_hand(
    add: Add, die: Die, rescue: Rescue, fetch: Fetch, end: End, deaths: int
) -> None:
    job = add()
    for death in range(1, deaths + 1):
        assert state(job) == [("todo", death - 1)]
        die(job)
        assert [given.ended for given in rescue(deaths=deaths)] == [[job] * (death == deaths)]
    assert state(job) == [("failed", deaths)]
    assert "not tried again" in JobLog.objects.get(job_id=job, attempt=deaths).error_message
    assert fetch() == []

    app.job_manager.retry_job_by_id(job, timezone.now())
    assert fetch() == [[job]]
    die(job)
    assert [given.ended for given in rescue(deaths=deaths)] == [[job]]
    assert state(job) == [("failed", deaths + 1)]
    assert lost(job) == list(range(1, deaths + 2))

    app.job_manager.retry_job_by_id(job, timezone.now())
    assert fetch() == [[job]]
    end(job, attempts=deaths + 1)
    assert state(job) == [("succeeded", deaths + 2)]


def test_attempts_that_failed_or_are_of_an_earlier_job_with_the_same_id_are_no_deaths(
    add: Add, die: Die, rescue: Rescue, execute: Execute
) -> None:
    job = add()
    # Ids start anew after a TRUNCATE ... RESTART IDENTITY; logs stay.
    execute(
        "INSERT INTO job_logs (job_id, attempt, task_name, queue_name, worker, started_at,"
        "   finished_at, outcome, error_class, error_message, traceback)"
        " SELECT %s, attempt, 'one', 'default', 'it', now(), now(), outcome, '', '', ''"
        "   FROM (VALUES (5, 'failed'), (6, 'lost'), (7, 'lost')) AS log (attempt, outcome)",
        job,
    )
    execute("UPDATE procrastinate_jobs SET attempts = 5 WHERE id = %s", job)
    die(job)
    assert [given.ended for given in rescue(deaths=2)] == [[]]
    assert state(job) == [("todo", 6)]
    # Those of this job are: the attempt that is just lost for a second time, as it were, is one.
    die(job)
    assert [given.ended for given in rescue(deaths=2)] == [[job]]


def test_only_first_tries_are_batched(add: Add, execute: Execute, fetch: Fetch) -> None:
    jobs = [add("mail") for _ in range(6)]
    execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE id IN (%s, %s)", jobs[1], jobs[4])
    first_tries = [jobs[0], jobs[2], jobs[3], jobs[5]]
    assert sorted(fetch(batches={"mail": 10})) == sorted([first_tries, [jobs[1]], [jobs[4]]])
