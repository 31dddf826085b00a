"""Jobs of workers that died run again, and those of workers that live are left alone."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from procrastinate.contrib.django import app

import joblogs
from joblogs.models import Job, JobLog, JobWorker, Worker
from tests.engine_processes.jobs import effects, job
from tests.engine_processes.sessions import count_listening, no_connections
from tests.jobs import outcomes
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import RESCUES_SOON, give_to_a_worker, unregister

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine_processes.gate import Gate
    from tests.processes import Process

    Start = Callable[..., Process]

pytestmark = pytest.mark.django_db(transaction=True)

SOON = ("-q", "default", *RESCUES_SOON)
# What tells that it lives once, at its start.
ONCE = ("-q", "default", "--heartbeat-interval", "600", "--dead-after", "1")

POLLS = ("--no-listen-notify", "--fetch-job-polling-interval", "0.2")


def label_of(worker: Process) -> str:
    return f"{socket.gethostname()}:{worker.process.pid}"


def registration_of(worker: Process) -> JobWorker:
    return JobWorker.objects.get(pid=worker.process.pid)


def heartbeat_of(worker: Process) -> Any:
    return Worker.objects.get(pk=registration_of(worker).pk).last_heartbeat


def see_a_rescue(like: Process | None = None) -> None:
    """Wait until somebody has given back the job of a worker that is as silent as this one.

    Whoever does that sees this one, too. Without one, it is of a worker that dies now.
    """
    decoy = app.configure_task("nothing", allow_unknown=True, queue="nobody's").defer()
    give_to_a_worker(decoy, last_heartbeat=heartbeat_of(like) if like else timezone.now())
    wait_for(lambda: outcomes(decoy) == [(1, "lost")])


def see_that_it_ends_once(gate: Gate, job_id: int) -> None:
    """Open the gate, and see a job end that was never given back."""
    assert Job.objects.get(pk=job_id).status == "doing"
    gate.open()
    wait_for(lambda: outcomes(job_id) != [])
    assert outcomes(job_id) == [(1, "succeeded")]
    assert effects() == [Job.objects.get(pk=job_id).args["number"]]
    assert Job.objects.get(pk=job_id).attempts == 1


@pytest.mark.parametrize("flags", [(), POLLS], ids=["listens", "polls"])
def test_a_killed_workers_job_runs_again_and_counts_once(
    gate: Gate, start: Start, flags: tuple[str, ...]
) -> None:
    gate.close()
    dead = start(*SOON, *flags)
    its_job = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    dead.process.kill()
    # Its session, too, is gone: `start` waits for one more that listens.
    wait_for(lambda: dead.has_ended and count_listening() == 0)
    heir = start(*SOON, *flags)
    # Not yet, as the first one may wait there still.
    wait_for(lambda: (1, "lost") in outcomes(its_job))
    gate.open()
    wait_for(lambda: Job.objects.get(pk=its_job).status == "succeeded")
    assert outcomes(its_job) == [(1, "lost"), (2, "succeeded")]
    assert effects() == [1]
    assert Job.objects.get(pk=its_job).attempts == 2
    log = JobLog.objects.get(job_id=its_job, outcome="lost")
    assert (log.worker, log.error_class) == (label_of(dead), "joblogs.WorkerDied")
    assert JobLog.objects.get(job_id=its_job, attempt=2).worker == label_of(heir)
    assert [each.pid for each in JobWorker.objects.all()] == [heir.process.pid]
    assert Worker.objects.count() == 1
    assert f"Gave back 1 job of {label_of(dead)}, which died." in heir.log


def test_a_worker_that_is_paused_for_a_while_keeps_its_jobs(gate: Gate, start: Start) -> None:
    gate.close()
    worker = start(*SOON)
    its_job = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        start(*SOON)
        see_a_rescue(like=worker)
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)
    see_that_it_ends_once(gate, its_job)


def test_a_worker_whose_event_loop_is_held_up_keeps_its_jobs(gate: Gate, start: Start) -> None:
    gate.close()
    worker = start(*SOON)
    its_job = app.configure_task(
        "tests.engine_processes.deadly_tasks.note_after_holding_the_loop"
    ).defer(number=1)
    gate.wait_for_visitors()
    start(*SOON)
    see_a_rescue(like=worker)
    see_that_it_ends_once(gate, its_job)


def test_a_worker_that_drains_tells_so_and_keeps_its_jobs(gate: Gate, start: Start) -> None:
    gate.close()
    worker = start(*SOON)
    its_job = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    worker.process.send_signal(signal.SIGTERM)
    wait_for(lambda: registration_of(worker).state == "draining")
    start(*SOON)
    before = registration_of(worker).seen_at
    see_a_rescue()
    assert registration_of(worker).seen_at > before
    assert (registration_of(worker).running, registration_of(worker).holds_lock) == (1, True)
    see_that_it_ends_once(gate, its_job)
    assert worker.process.wait(10) == 0


def test_a_worker_that_stock_takes_for_dead_keeps_row_and_jobs(gate: Gate, start: Start) -> None:
    gate.close()
    worker = start(*ONCE)
    its_job = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    registered = registration_of(worker).pk
    [(dead,)] = execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
    assert execute("SELECT procrastinate_prune_stalled_workers_v1(30)") == [(dead,)]
    assert [each.pk for each in Worker.objects.all()] == [registered]
    see_that_it_ends_once(gate, its_job)


@pytest.mark.parametrize("how_often", [SOON, ONCE], ids=["taken back", "not taken back"])
def test_jobs_of_nobody_are_rescued_unless_their_worker_is_back(
    gate: Gate, start: Start, how_often: tuple[str, ...]
) -> None:
    gate.close()
    worker = start(*how_often)
    its_job = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    start(*SOON)
    see_a_rescue()
    assert Job.objects.get(pk=its_job).worker_id == registration_of(worker).pk
    at = unregister(registration_of(worker).pk)
    see_a_rescue()
    if how_often == SOON:
        see_that_it_ends_once(gate, its_job)
        return
    wait_for(lambda: outcomes(its_job) == [(1, "lost")])
    log = JobLog.objects.get(job_id=its_job)
    assert log.worker == "unknown"
    assert (log.finished_at - at).total_seconds() >= 1
    gate.open()
    # It runs twice, as an ordinary task may; only the run of its owner counts.
    wait_for(lambda: effects() == [1, 1])
    wait_for(lambda: outcomes(its_job) == [(1, "lost"), (2, "succeeded")])
    wait_for(lambda: "is not this worker's any more" in worker.log)


def test_after_an_outage_all_may_say_they_live_before_a_rescue(
    start: Start,
) -> None:
    rescuer = start("-q", "default", "--heartbeat-interval", "0.2", "--dead-after", "4")
    see_a_rescue()
    with no_connections():
        wait_for(lambda: "PostgreSQL cannot be used" in rescuer.log)
        # What was silent when it began has not become more so.
        [(at,)] = execute("SELECT clock_timestamp()")
        silent = app.configure_task("nothing", allow_unknown=True, queue="nobody's").defer()
        give_to_a_worker(silent)
    wait_for(lambda: outcomes(silent) == [(1, "lost")])
    assert (JobLog.objects.get(job_id=silent).finished_at - at).total_seconds() >= 4


def test_a_worker_tells_of_itself_for_as_long_as_it_lives(gate: Gate, start: Start) -> None:
    gate.close()
    worker = start(*SOON, "-c", "7", "-n", "its name")
    row = registration_of(worker)
    assert (row.host, row.name, row.queues) == (socket.gethostname(), "its name", ["default"])
    assert (row.concurrency, row.version, row.state) == (7, joblogs.__version__, "running")
    assert (row.running, Worker.objects.get().pk) == (0, row.pk)
    assert row.memory > 1_000_000
    wait_for(lambda: registration_of(worker).holds_lock)
    job("note").defer(number=1, stop="inside")
    wait_for(lambda: registration_of(worker).running == 1)
    worker.process.send_signal(signal.SIGTSTP)
    wait_for(lambda: registration_of(worker).state == "quiet")
    worker.process.send_signal(signal.SIGCONT)
    wait_for(lambda: registration_of(worker).state == "running")
    seen = registration_of(worker).seen_at
    wait_for(lambda: registration_of(worker).seen_at > seen)
    assert registration_of(worker).started_at == row.started_at
    gate.open()
    assert worker.stop() == 0
    assert not JobWorker.objects.exists()
    assert not Worker.objects.exists()


def test_a_worker_that_does_not_listen_holds_no_lock(start: Start) -> None:
    worker = start(*SOON, "--no-listen-notify")
    seen = registration_of(worker).seen_at
    wait_for(lambda: registration_of(worker).seen_at > seen)
    row = registration_of(worker)
    assert not row.holds_lock
    assert execute("SELECT pg_try_advisory_xact_lock(joblogs_worker_lock_v1(%s))", row.pk) == [
        (True,)
    ]
