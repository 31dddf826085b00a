"""A worker keeps the jobs it has, whatever becomes of its row or of the answer that named them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.contrib.django import app

from joblogs.engine import presence
from joblogs.engine.batch import transactional
from joblogs.models import Job, JobLog, JobQueue, Worker
from tests.jobs import outcomes, statuses
from tests.sql import elsewhere
from tests.waiting import wait_for
from tests.workers import SOON, give_to_a_worker, unregister

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblogs.engine.batch import BatchJob
    from tests.proxies import CuttingProxy

    Run = Callable[..., None]
    Register = Callable[..., Any]

pytestmark = pytest.mark.django_db(transaction=True)

# Of a worker that learns what became of its row from what it does with its jobs.
SELDOM = {"update_heartbeat_interval": 600.0}


def all_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was warned of, by whichever logger."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("options", [SOON, SELDOM], ids=["at its heartbeat", "at their end"])
@pytest.mark.parametrize("kind", ["ordinary", "transactional", "batch"])
def test_a_worker_without_its_row_registers_again_and_ends_jobs(
    task: Register,
    batch: Register,
    run_worker: Run,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    options: dict[str, float],
) -> None:
    began, may_end = threading.Event(), threading.Event()
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        # The name is a new one each time, so that work done twice is seen.
        JobQueue.objects.create(name=f"call {len(calls)}")
        began.set()
        assert may_end.wait(20)

    def work_together(jobs: Sequence[BatchJob]) -> None:
        work()

    if kind == "batch":
        together = batch(work_together)
        jobs = [together.defer() for _ in range(3)]
    else:
        jobs = [task(work if kind == "ordinary" else transactional(work)).defer()]

    def until() -> bool:
        assert began.wait(20)
        worker = Worker.objects.get().pk
        unregister(worker)
        if options == SOON:
            wait_for(lambda: Job.objects.filter(worker=worker).count() == len(jobs))
        may_end.set()
        wait_for(lambda: all(outcomes(pk) for pk in jobs))
        assert Worker.objects.get().pk == worker
        return True

    run_worker(until, **options)
    assert [outcomes(pk) for pk in jobs] == [[(1, "succeeded")]] * len(jobs)
    assert JobQueue.objects.count() == 1
    if kind == "ordinary" or options == SOON:
        assert calls == [1]
    assert all_warnings(caplog) == ["Somebody took this worker for dead: it has registered again."]


def test_a_worker_whose_row_is_gone_takes_the_next_job(task: Register, run_worker: Run) -> None:
    def idle() -> None: ...

    idle_task = task(idle)
    jobs = [idle_task.defer()]

    def until() -> bool:
        wait_for(lambda: outcomes(jobs[0]))
        worker = Worker.objects.get().pk
        unregister(worker)
        jobs.append(idle_task.defer())
        wait_for(lambda: outcomes(jobs[1]))
        assert Worker.objects.get().pk == worker
        return True

    run_worker(until, **SELDOM)
    assert [outcomes(pk) for pk in jobs] == [[(1, "succeeded")]] * 2


def test_a_new_worker_lets_others_first_say_that_they_live(run_worker: Run) -> None:
    silent = app.configure_task("nothing", allow_unknown=True, queue="nobody's").defer()
    give_to_a_worker(silent)
    [(at,)] = elsewhere("SELECT clock_timestamp()")
    run_worker(lambda: outcomes(silent), **SOON, queues=["default"])
    log = JobLog.objects.get(job_id=silent)
    assert log.outcome == "lost"
    assert (log.finished_at - at).total_seconds() >= SOON["stalled_worker_timeout"]


def test_jobs_are_given_back_some_at_a_time_and_all_at_one_look(
    run_worker: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many times as this is, there are not so many looks in the time that the test has.
    monkeypatch.setattr(presence, "AT_A_TIME", 10)
    rows = elsewhere(
        "INSERT INTO procrastinate_jobs (task_name, queue_name)"
        " SELECT 'nothing', 'nobody''s' FROM generate_series(1, 1505) RETURNING id"
    )
    jobs = [pk for (pk,) in rows]
    worker = give_to_a_worker(*jobs)
    run_worker(lambda: not Job.objects.filter(status="doing").exists(), **SOON, queues=["default"])
    assert Job.objects.filter(status="todo", attempts=1).count() == len(jobs)
    logs = JobLog.objects.filter(outcome="lost", attempt=1)
    assert sorted(logs.values_list("job_id", flat=True)) == jobs
    counts = [10] * 150 + [5]
    assert all_warnings(caplog) == [
        f"Gave back {n} jobs of worker {worker}, which died." for n in counts
    ]


lost_answer = pytest.mark.parametrize("deliver", [True, False], ids=["fetched", "not fetched"])


@lost_answer
def test_jobs_of_a_fetch_whose_answer_is_lost_run_once(
    task: Register, run_worker: Run, proxy: CuttingProxy, deliver: bool
) -> None:
    ran: list[int] = []

    def note(n: int) -> None:
        ran.append(n)

    noting = task(note)
    jobs = [noting.defer(n=n) for n in range(3)]
    proxy.cut(b"joblogs_fetch_jobs_v1", deliver=deliver)
    run_worker(lambda: all(outcomes(pk) for pk in jobs))
    assert proxy.cuts == 0
    assert sorted(ran) == [0, 1, 2]
    assert [outcomes(pk) for pk in jobs] == [[(1, "succeeded")]] * 3


@lost_answer
def test_a_batch_whose_fetch_had_no_answer_is_done_once(
    batch: Register, run_worker: Run, proxy: CuttingProxy, deliver: bool
) -> None:
    calls: list[list[Any]] = []

    def note(jobs: Sequence[BatchJob]) -> None:
        calls.append([job.arguments["n"] for job in jobs])

    noting = batch(note, max_size=2)
    jobs = [noting.defer(n=n) for n in range(5)]
    elsewhere("UPDATE procrastinate_jobs SET attempts = 1 WHERE id = %s", jobs[1])
    proxy.cut(b"joblogs_fetch_jobs_v1", deliver=deliver)
    run_worker(lambda: all(outcomes(pk) for pk in jobs))
    assert proxy.cuts == 0
    assert sorted(calls) == [[0, 2], [1], [3, 4]]
    expected = [[(2 if pk == jobs[1] else 1, "succeeded")] for pk in jobs]
    assert [outcomes(pk) for pk in jobs] == expected


def test_what_runs_is_not_taken_for_a_job_of_a_lost_fetch(
    task: Register, run_worker: Run, proxy: CuttingProxy
) -> None:
    may_end = threading.Event()
    ran: list[int] = []

    def note(n: int) -> None:
        ran.append(n)
        assert n or may_end.wait(20)

    noting = task(note)
    jobs = [noting.defer(n=0)]

    def until() -> bool:
        wait_for(lambda: ran)
        proxy.cut(b"joblogs_fetch_jobs_v1", deliver=True)
        jobs.append(noting.defer(n=1))
        wait_for(lambda: outcomes(jobs[1]))
        assert statuses(jobs[0]) == ["doing"]
        may_end.set()
        return bool(wait_for(lambda: outcomes(jobs[0])))

    run_worker(until)
    assert proxy.cuts == 0
    assert ran == [0, 1]
    assert [outcomes(pk) for pk in jobs] == [[(1, "succeeded")]] * 2
