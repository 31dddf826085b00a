"""Jobs that end the worker that runs them fail after some deaths; their neighbours do not."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from procrastinate.contrib.django import app

from joblogs.models import Job, JobLog
from tests.engine_processes.jobs import effects, job
from tests.jobs import have_ended, outcomes
from tests.processes import Process, database_url
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import RESCUES_SOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.engine_processes.gate import Gate

    KeepWorking = Callable[..., list[Process]]

pytestmark = pytest.mark.django_db(transaction=True)

DEADLY = 0  # what tests.engine_processes.deadly_tasks die of


@pytest.fixture
def keep_working(_table_of_effects: None, tmp_path: Path) -> Iterator[KeepWorking]:
    """Keep a worker running, a new one whenever it dies, until a condition is true; return all."""
    workers: list[Process] = []

    def run(until: Callable[[], bool], *flags: str, **variables: str) -> list[Process]:
        variables["DJANGO_SETTINGS_MODULE"] = "tests.engine_processes.settings"
        command = ("manage.py", "procrastinate", "worker", "-q", "default", *RESCUES_SOON, *flags)
        while True:
            log = tmp_path / f"worker-{len(workers)}.log"
            worker = Process(*command, url=database_url(), log=log, forked=True, **variables)
            workers.append(worker)
            wait_for(lambda: worker.has_ended or until())  # noqa: B023  # called at once
            if not worker.has_ended:
                return workers

    yield run
    for worker in workers:
        worker.stop()


def deadly_job(task: str, **options: Any) -> Any:
    return app.configure_task(f"tests.engine_processes.deadly_tasks.{task}", **options)


def assert_it_was_poison(job_id: int, workers: list[Process], *, deaths: int) -> None:
    assert [each.process.poll() for each in workers] == [-signal.SIGKILL] * deaths + [None]
    assert Job.objects.get(pk=job_id).status == "failed"
    assert outcomes(job_id) == [(number, "lost") for number in range(1, deaths + 1)]
    # Each died of it, and is named.
    logs = JobLog.objects.filter(job_id=job_id).order_by("attempt")
    pids = [int(log.worker.rpartition(":")[2]) for log in logs]
    assert pids == [each.process.pid for each in workers[:-1]]


# With more slots than one, a job of the batch may run beside the deadly one when that kills again.
@pytest.mark.parametrize(("deaths", "slots"), [(2, 1), (3, 4)])
def test_the_batch_of_a_deadly_job_is_done_and_the_job_fails(
    keep_working: KeepWorking, deaths: int, slots: int
) -> None:
    with transaction.atomic():
        poison = deadly_job("note_together_or_die").defer(number=DEADLY)
        mates = [deadly_job("note_together_or_die").defer(number=n) for n in range(1, 5)]
    workers = keep_working(
        lambda: have_ended(poison, *mates), "-c", str(slots), MOST_DEATHS=str(deaths)
    )
    assert_it_was_poison(poison, workers, deaths=deaths)
    # Nothing of the work of those that died is left.
    assert effects() == [1, 2, 3, 4]
    for mate in mates:
        *lost, last = (outcome for _, outcome in outcomes(mate))
        assert last == "succeeded"
        # Once with the batch, and perhaps beside it.
        assert lost in [["lost"] * n for n in range(1, deaths)]
    assert workers[-1].stop() == 0


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_job_that_kills_its_worker_fails_and_the_next_lives(
    keep_working: KeepWorking, deaths: int
) -> None:
    poison = deadly_job("note_or_die").defer(number=DEADLY)
    workers = keep_working(lambda: have_ended(poison), MOST_DEATHS=str(deaths))
    assert_it_was_poison(poison, workers, deaths=deaths)
    other = deadly_job("note_or_die").defer(number=1)
    wait_for(lambda: have_ended(other))
    assert outcomes(other) == [(1, "succeeded")]
    assert effects() == [1]

    # Whoever retries it by hand has it run once more, and not more often.
    Job.objects.filter(pk=poison).retry()
    wait_for(lambda: workers[-1].has_ended)
    workers = keep_working(lambda: have_ended(poison), MOST_DEATHS=str(deaths))
    assert_it_was_poison(poison, workers, deaths=deaths + 1)


def test_two_jobs_on_their_last_chance_do_not_run_together(
    gate: Gate, start: Callable[..., Process]
) -> None:
    jobs = [job("note").defer(number=number, stop="inside") for number in (1, 2)]
    first_try = job("note").defer(number=3, stop="inside")
    lose_twice(*jobs)
    gate.close()
    start("-q", "default", "-c", "4")

    def times_of_waiting() -> list[object]:
        waiting = Job.objects.filter(pk__in=jobs, status="todo", scheduled_at__isnull=False)
        return list(waiting.values_list("scheduled_at", flat=True))

    # One of them runs, and so does what was never tried.
    gate.wait_for_visitors(2)
    assert Job.objects.get(pk=first_try).status == "doing"
    [first_time] = wait_for(times_of_waiting)
    # The other one is tried again, and has to wait again, which is no attempt.
    wait_for(lambda: times_of_waiting() not in ([], [first_time]))
    assert len(gate.visitors()) == 2
    assert set(Job.objects.filter(pk__in=jobs).values_list("attempts", flat=True)) == {2}
    gate.open()
    wait_for(lambda: have_ended(*jobs, first_try))
    assert effects() == [1, 2, 3]
    assert [outcomes(each) for each in jobs] == [[(1, "lost"), (2, "lost"), (3, "succeeded")]] * 2


def lose_twice(*job_ids: int) -> None:
    """Have jobs on record as lost with two workers."""
    execute("UPDATE procrastinate_jobs SET attempts = 2 WHERE id = ANY (%s)", list(job_ids))
    execute(
        "INSERT INTO job_logs (job_id, attempt, task_name, queue_name, worker, started_at,"
        "   finished_at, outcome, error_class, error_message, traceback)"
        " SELECT job_id, attempt, 'note', 'default', 'it', now(), now(), 'lost', '', '', ''"
        "   FROM unnest(%s::bigint[]) AS job (job_id), generate_series(1, 2) AS attempt",
        list(job_ids),
    )
