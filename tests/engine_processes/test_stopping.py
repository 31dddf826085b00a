"""Workers that are asked to stop, to take nothing new, or to go on."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from procrastinate.contrib.django import app

from joblogs.engine.stopping import ONE_REQUEST
from joblogs.models import Job, JobWorker
from tests.engine_processes.jobs import effects, job
from tests.jobs import outcomes, statuses
from tests.processes import Process, database_url
from tests.waiting import wait_for
from tests.workers import SELDOM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from procrastinate.jobs import JobDeferrer

    from tests.engine_processes.gate import Gate

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds in which a process has ended whose time is up: there is a second for last words, two to
# give jobs back, two for a goodbye, and a slow machine.
SOON = 15.0
OFTEN = ("--heartbeat-interval", "0.2")
IN_NO_TIME = ("--shutdown-graceful-timeout", "0.2", *OFTEN)


def slow_job(task: str) -> JobDeferrer:
    """Name one of the slow tasks, for jobs of it."""
    return app.configure_task(f"tests.engine_processes.slow_tasks.{task}")


def begin(*tasks: str, **arguments: Any) -> list[int]:
    """Defer a job of each task, and return their ids when a worker tells that it runs them."""
    job_ids = [slow_job(task).defer(**arguments) for task in tasks]
    wait_for(lambda: list(JobWorker.objects.values_list("running", flat=True)) == [len(tasks)])
    return job_ids


def heartbeats(count: int) -> None:
    """Wait for so many heartbeats."""
    for _ in range(count):
        last = list(JobWorker.objects.values_list("seen_at", flat=True))
        wait_for(lambda: list(JobWorker.objects.values_list("seen_at", flat=True)) != last)  # noqa: B023  # called at once


def wait_for_states(*states: str) -> None:
    """Wait until workers tell these states of themselves."""
    wait_for(lambda: tuple(JobWorker.objects.values_list("state", flat=True)) == states)


# Asked to stop


@pytest.mark.parametrize("request_", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_finishes_what_runs_and_takes_nothing_new(
    start: Callable[..., Process], gate: Gate, request_: signal.Signals
) -> None:
    worker = start(*OFTEN)
    gate.close()
    running = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    worker.process.send_signal(request_)
    wait_for_states("draining")
    waiting = job("note").defer(number=2)
    heartbeats(3)
    assert statuses(running, waiting) == ["doing", "todo"]
    gate.open()
    assert worker.process.wait(SOON) == 0
    assert (outcomes(running), outcomes(waiting)) == ([(1, "succeeded")], [])
    assert statuses(waiting) == ["todo"]
    assert effects() == [1]
    assert not JobWorker.objects.exists()


@pytest.mark.parametrize(
    "task",
    [
        "sleep",
        "sleep_with_a_retry_rule",
        "sleep_and_not_be_cancelled",
        "wait_for_a_thread",
        "sleep_in_a_thread",
        "sleep_in_a_thread_with_a_retry_rule",
        "sleep_together",
        "sleep_in_a_transaction",
    ],
)
def test_a_job_not_ended_in_time_is_given_back_and_runs_again(
    start: Callable[..., Process], task: str
) -> None:
    worker = start(*IN_NO_TIME)
    [job_id] = begin(task, number=1)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(SOON) == 0
    assert statuses(job_id) == ["todo"]
    assert Job.objects.get(pk=job_id).attempts == 1
    assert outcomes(job_id) == [(1, "aborted")]
    assert effects() == []
    start(*SELDOM)
    wait_for(lambda: outcomes(job_id) == [(1, "aborted"), (2, "succeeded")])
    assert effects() == [1]


def test_a_coroutine_that_is_stopped_has_a_moment_to_tidy_up(
    start: Callable[..., Process],
) -> None:
    worker = start(*IN_NO_TIME)
    [job_id] = begin("sleep_and_tidy_up", number=1)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(SOON) == 0
    assert effects() == [1]
    assert outcomes(job_id) == [(1, "aborted")]
    assert statuses(job_id) == ["todo"]


def test_all_jobs_of_a_worker_are_given_back_together(start: Callable[..., Process]) -> None:
    worker = start(*IN_NO_TIME, "-c", "4")
    job_ids = begin("sleep", "sleep_in_a_thread", "sleep_in_a_transaction", number=1)
    together = slow_job("sleep_together").batch_defer({"number": 1}, {"number": 1})
    # Which of them are together, is up to the worker.
    wait_for(lambda: "doing" in statuses(*together))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(SOON) == 0
    assert statuses(*job_ids, *together) == ["todo"] * 5
    assert [outcomes(job_id) for job_id in job_ids] == [[(1, "aborted")]] * 3
    assert effects() == []


@pytest.mark.parametrize("task", ["note_together", "note_exactly_once"])
def test_what_waits_in_postgresql_is_given_back_without_effect(
    start: Callable[..., Process], gate: Gate, task: str
) -> None:
    worker = start(*IN_NO_TIME)
    gate.close()
    job_id = job(task).defer(number=1, stop="inside")
    gate.wait_for_visitors()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(SOON) == 0
    assert outcomes(job_id) == [(1, "aborted")]
    gate.open()
    start(*SELDOM)
    wait_for(lambda: outcomes(job_id) == [(1, "aborted"), (2, "succeeded")])
    assert effects() == [1]


@pytest.mark.parametrize("notices_it", [True, False], ids=["ends", "goes on"])
@pytest.mark.parametrize(
    "flags", [["-a", "0.05"], ["-a", "600", "--no-listen-notify"]], ids=["told", "not told"]
)
def test_a_job_that_a_user_aborts_before_the_stop_is_not_run_again(
    start: Callable[..., Process], tmp_path: Path, flags: list[str], *, notices_it: bool
) -> None:
    worker = start(*IN_NO_TIME, *flags)
    noticed = tmp_path / "noticed"
    if notices_it:
        [job_id] = begin("end_when_aborted", path=str(noticed))
    else:
        [job_id] = begin("sleep_in_a_thread", number=1)
    assert Job.objects.filter(pk=job_id).abort().jobs
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(SOON) == 0
    assert noticed.exists() == notices_it
    assert statuses(job_id) == ["aborted"]
    assert outcomes(job_id) == [(1, "aborted")]


def test_jobs_that_wait_to_run_one_by_one_are_given_back(
    start: Callable[..., Process], gate: Gate
) -> None:
    gate.close()
    job_ids = slow_job("work_one_by_one").batch_defer({"number": 1}, {"number": 2}, {"number": 3})
    worker = start()
    gate.wait_for_visitors()
    worker.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "Waiting for jobs to end" in worker.log)
    gate.open()
    assert worker.process.wait(SOON) == 0
    assert effects() == [1]
    ends = [(1, "succeeded"), (1, "aborted"), (1, "aborted")]
    assert [outcomes(job_id) for job_id in job_ids] == [[end] for end in ends]
    assert statuses(*job_ids) == ["succeeded", "todo", "todo"]


def test_a_second_request_ends_the_worker_at_once(start: Callable[..., Process]) -> None:
    worker = start("--shutdown-graceful-timeout", "600", *OFTEN)
    [job_id] = begin("sleep_in_a_thread", number=1)
    worker.process.send_signal(signal.SIGTERM)
    wait_for_states("draining")
    time.sleep(ONE_REQUEST + 0.1)  # the distance of the signals is what this is about
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(SOON) == 0
    assert outcomes(job_id) == [(1, "aborted")]


def test_a_second_request_right_after_the_first_one_is_the_same(
    start: Callable[..., Process], gate: Gate
) -> None:
    worker = start(*OFTEN)
    gate.close()
    job_id = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    worker.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "Stop requested" in worker.log)
    worker.process.send_signal(signal.SIGTERM)
    wait_for_states("draining")
    heartbeats(3)
    assert statuses(job_id) == ["doing"]
    gate.open()
    assert worker.process.wait(SOON) == 0
    assert "leaving now" not in worker.log
    assert outcomes(job_id) == [(1, "succeeded")]


# Asked to be quiet


def test_a_quiet_worker_finishes_and_takes_nothing_until_told(
    start: Callable[..., Process], gate: Gate
) -> None:
    worker = start(*SELDOM, *OFTEN)
    gate.close()
    running = job("note").defer(number=1, stop="inside")
    gate.wait_for_visitors()
    worker.process.send_signal(signal.SIGTSTP)
    wait_for_states("quiet")
    waiting = job("note").defer(number=2)
    gate.open()
    wait_for(lambda: outcomes(running) == [(1, "succeeded")])
    heartbeats(3)
    assert statuses(waiting) == ["todo"]
    worker.process.send_signal(signal.SIGCONT)
    wait_for(lambda: outcomes(waiting) == [(1, "succeeded")])
    wait_for_states("running")
    assert worker.stop() == 0


def test_a_quiet_worker_stops_when_it_is_asked_to(start: Callable[..., Process]) -> None:
    worker = start()
    worker.process.send_signal(signal.SIGTSTP)
    wait_for_states("quiet")
    waiting = job("note").defer(number=1)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(SOON) == 0
    assert statuses(waiting) == ["todo"]


def test_a_fleet_hands_on_to_be_quiet_and_to_go_on(start: Callable[..., Process]) -> None:
    fleet = start(*SELDOM, *OFTEN, "--processes", "2")
    wait_for_states("running", "running")
    fleet.process.send_signal(signal.SIGTSTP)
    wait_for_states("quiet", "quiet")
    waiting = job("note").defer(number=1)
    heartbeats(4)
    assert statuses(waiting) == ["todo"]
    fleet.process.send_signal(signal.SIGCONT)
    wait_for(lambda: outcomes(waiting) == [(1, "succeeded")])
    wait_for_states("running", "running")
    assert fleet.stop() == 0


# Other ends


def test_with_one_shot_a_worker_ends_by_itself(start: Callable[..., Process]) -> None:
    job_id = job("note").defer(number=1)
    worker = start("--one-shot", "--no-listen-notify")
    assert worker.process.wait(SOON) == 0
    assert outcomes(job_id) == [(1, "succeeded")]


def test_a_worker_says_in_a_line_that_migrations_are_missing(tmp_path: Path) -> None:
    name = str(connection.settings_dict["NAME"])
    with psycopg.connect(database_url(), autocommit=True) as session:
        session.execute("CREATE DATABASE not_migrated")
        try:
            url = database_url().replace(f"/{name}?", "/not_migrated?")
            command = ("manage.py", "procrastinate", "worker")
            worker = Process(*command, url=url, log=tmp_path / "worker.log")
            assert worker.process.wait(SOON) == 1
        finally:
            session.execute("DROP DATABASE not_migrated WITH (FORCE)")
    *_, line = worker.log.splitlines()
    assert "The database is not that of this version" in line
    assert line.endswith("run manage.py migrate.")
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("flag", ["--heartbeat-interval", "--dead-after"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan", ""])
def test_a_time_that_is_none_is_refused(flag: str, value: str) -> None:
    with pytest.raises(CommandError, match=f"{flag}: {value!r} is no number of seconds"):
        call_command("procrastinate", "worker", flag, value)
