"""What PostgreSQL does with the jobs of workers that died, statement by statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from procrastinate.contrib.django import app

from joblogs.models import Job, JobLog, JobWorker, Worker
from tests.engine.manager import manager
from tests.engine.rescues import Given, rescue_on, standings, tell
from tests.jobs import lost
from tests.sql import execute
from tests.workers import give_to_a_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Add = Callable[..., int]
    Connect = Callable[[], psycopg.Connection]
    End = Callable[..., None]
    Fetch = Callable[..., list[list[int]]]
    InThreads = Callable[..., list[BaseException | None]]
    Rescue = Callable[..., list[Given]]

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_job_of_a_dead_worker_is_given_back_on_its_own(
    add: Add, rescue: Rescue, connect: Connect
) -> None:
    fine, locked, to_be_aborted = (add() for _ in range(3))
    twin = add(queueing_lock="one")
    worker = give_to_a_worker(fine, twin, locked, to_be_aborted)
    tell(worker, seconds_ago=60)
    add(queueing_lock="one")
    Job.objects.filter(pk=to_be_aborted).abort()
    with connect() as other:
        other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [locked])
        [given] = rescue()
        assert (given.worker, given.jobs) == ("there:42", 3)
        assert sorted(given.ended) == sorted([twin, to_be_aborted])
        assert standings(fine, twin, to_be_aborted) == [("todo", 1), ("failed", 1), ("aborted", 1)]
        # It is left for the next time, and the worker with it.
        assert standings(locked) == [("doing", 0)]
        assert Worker.objects.filter(pk=worker).exists()
        assert rescue() == [("there:42", 0, [])]
    assert rescue() == [("there:42", 1, [])]
    assert standings(locked) == [("todo", 1)]
    assert [lost(job) for job in (fine, twin, to_be_aborted, locked)] == [[1]] * 4
    assert set(JobLog.objects.values_list("worker", "error_class")) == {
        ("there:42", "joblogs.WorkerDied")
    }
    assert not Worker.objects.exists()
    assert not JobWorker.objects.exists()


def test_who_rescues_leaves_alone_what_another_is_rescuing(
    add: Add, rescue: Rescue, connect: Connect
) -> None:
    job, orphan = add(), add()
    execute("UPDATE procrastinate_jobs SET status = 'doing'")
    give_to_a_worker(job)
    with connect() as first:
        assert [given.jobs for given in rescue_on(first, (orphan, 0))] == [1, 1]
        assert rescue((orphan, 0)) == []
    assert rescue((orphan, 0)) == []
    assert standings(job, orphan) == [("todo", 1)] * 2
    assert [lost(job), lost(orphan)] == [[1], [1]]


def test_rescuers_at_the_same_time_give_back_each_job_once(
    add_many: Callable[[str], None], rescue: Rescue, in_threads: InThreads
) -> None:
    add_many("SELECT NULL, 0, 'default' FROM generate_series(1, 200)")
    jobs = list(Job.objects.values_list("pk", flat=True))
    for first in range(0, 200, 20):
        give_to_a_worker(*jobs[first : first + 20])
    given: list[Given] = []

    def work() -> None:
        # Some at a time, so that they get in each other's way.
        while Worker.objects.exists():
            given.extend(rescue(at_most=7))

    assert in_threads(*[work] * 3) == [None] * 3
    assert sum(each.jobs for each in given) == 200
    assert set(standings(*jobs)) == {("todo", 1)}
    assert sorted(JobLog.objects.values_list("job_id", "attempt")) == [(job, 1) for job in jobs]


def test_a_rescue_that_dies_leaves_the_rest_to_the_next(
    add_many: Callable[[str], None], rescue: Rescue, connect: Connect
) -> None:
    add_many("SELECT NULL, 0, 'default' FROM generate_series(1, 2500)")
    jobs = list(Job.objects.values_list("pk", flat=True))
    give_to_a_worker(*jobs)
    assert [given.jobs for given in rescue()] == [1_000]
    dying = connect()
    assert [given.jobs for given in rescue_on(dying)] == [1_000]
    with connect() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [dying.info.backend_pid])
    assert Job.objects.filter(status="doing").count() == 1_500
    assert [[given.jobs for given in rescue()] for _ in range(3)] == [[1_000], [500], []]
    assert set(standings(*jobs)) == {("todo", 1)}
    assert sorted(JobLog.objects.values_list("job_id", "attempt")) == [(job, 1) for job in jobs]


def test_a_worker_whose_lock_is_held_keeps_its_row_and_jobs(
    add: Add, rescue: Rescue, connect: Connect
) -> None:
    kept, given_up = add(), add()
    living, dead = give_to_a_worker(kept), give_to_a_worker(given_up)
    with connect() as its_session:
        its_session.execute("SELECT pg_advisory_lock(joblogs_worker_lock_v1(%s))", [living])
        assert rescue() == [(f"worker {dead}", 1, [])]
        assert Worker.objects.get().pk == living
        # As a stock worker does when it starts.
        assert async_to_sync(manager().prune_stalled_workers)(20) == []
        assert Worker.objects.get().pk == living
        assert standings(kept) == [("doing", 0)]
        assert Job.objects.get(pk=kept).worker_id == living
        its_session.execute("SELECT pg_advisory_unlock_all()")
    assert async_to_sync(manager().prune_stalled_workers)(20) == [living]


@pytest.mark.parametrize(("kind", "timeout"), [("ours", 20), ("stock", 40)])
def test_a_stock_worker_is_dead_after_twice_the_time_of_ours(
    add: Add, rescue: Rescue, kind: str, timeout: int
) -> None:
    worker = give_to_a_worker(add())
    if kind == "ours":
        tell(worker, seconds_ago=0)
    ago = "UPDATE procrastinate_workers SET last_heartbeat = now() - make_interval(secs => %s)"
    execute(ago, timeout - 5)
    assert rescue() == []
    execute(ago, timeout + 1)
    assert [given.jobs for given in rescue()] == [1]


def test_a_job_of_nobody_is_given_back_only_as_it_was_seen(
    add: Add, rescue: Rescue, worker: int
) -> None:
    orphan, run_since, taken_back, ended = (add() for _ in range(4))
    execute("UPDATE procrastinate_jobs SET status = 'doing'")
    execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE id = %s", run_since)
    execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", ended)
    execute("UPDATE procrastinate_jobs SET worker_id = %s WHERE id = %s", worker, taken_back)
    seen = [(job, 0) for job in (orphan, run_since, taken_back, ended)]
    assert rescue(*seen) == [(None, 1, [])]
    assert standings(orphan, run_since, taken_back) == [("todo", 1), ("doing", 1), ("doing", 0)]
    assert standings(ended) == [("failed", 0)]
    assert list(JobLog.objects.values_list("job_id", "worker")) == [(orphan, "unknown")]


def test_what_a_worker_told_goes_some_time_after_it(worker: int, rescue: Rescue) -> None:
    tell(worker, seconds_ago=60)
    tell(worker + 1_000, seconds_ago=60)
    tell(worker + 2_000, seconds_ago=10)
    assert rescue() == []
    assert {each.worker_id for each in JobWorker.objects.all()} == {worker, worker + 2_000}


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_job_fails_at_its_last_death_until_it_is_retried(
    add: Add, rescue: Rescue, fetch: Fetch, end: End, deaths: int
) -> None:
    job = add()
    for death in range(1, deaths + 1):
        assert standings(job) == [("todo", death - 1)]
        give_to_a_worker(job)
        assert [given.ended for given in rescue(deaths=deaths)] == [[job] * (death == deaths)]
    assert standings(job) == [("failed", deaths)]
    assert "not tried again" in JobLog.objects.get(job_id=job, attempt=deaths).error_message
    assert fetch() == []

    app.job_manager.retry_job_by_id(job, timezone.now())
    assert fetch() == [[job]]
    give_to_a_worker(job)
    assert [given.ended for given in rescue(deaths=deaths)] == [[job]]
    assert standings(job) == [("failed", deaths + 1)]
    assert lost(job) == list(range(1, deaths + 2))

    app.job_manager.retry_job_by_id(job, timezone.now())
    assert fetch() == [[job]]
    end(job, attempts=deaths + 1)
    assert standings(job) == [("succeeded", deaths + 2)]


def test_failures_and_attempts_of_an_earlier_job_are_no_deaths(add: Add, rescue: Rescue) -> None:
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
    give_to_a_worker(job)
    assert [given.ended for given in rescue(deaths=2)] == [[]]
    assert standings(job) == [("todo", 6)]
    # Those of this job are: the attempt that is just lost for a second time, as it were, is one.
    give_to_a_worker(job)
    assert [given.ended for given in rescue(deaths=2)] == [[job]]


def test_only_first_tries_are_batched(add: Add, fetch: Fetch) -> None:
    jobs = [add("mail") for _ in range(6)]
    execute("UPDATE procrastinate_jobs SET attempts = 1 WHERE id IN (%s, %s)", jobs[1], jobs[4])
    first_tries = [jobs[0], jobs[2], jobs[3], jobs[5]]
    assert sorted(fetch(batches={"mail": 10})) == sorted([first_tries, [jobs[1]], [jobs[4]]])
