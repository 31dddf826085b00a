"""Connections that end while a worker has them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from joblogs.engine.connections import IDLE
from joblogs.models import JobLog
from tests.engine_processes.jobs import counted_outcomes, effects, job
from tests.engine_processes.sessions import count_listening, no_connections, terminate_all
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import SELDOM

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Process

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_idle_worker_whose_connections_all_ended_is_woken_again(
    start: Callable[..., Process],
) -> None:
    worker = start(*SELDOM, "-q", "default")
    job("note").defer(number=1)
    wait_for(lambda: counted_outcomes() == {(1, "succeeded"): 1})
    # Its pool, the connection that listens, and Django's in the thread of the task.
    assert terminate_all() >= 3
    wait_for(lambda: count_listening() == 1)
    job("note").defer(number=2)
    wait_for(lambda: effects() == [1, 2])
    wait_for(lambda: counted_outcomes() == {(1, "succeeded"): 2})
    assert worker.stop() == 0


@pytest.mark.parametrize("task", ["note", "note_together", "note_exactly_once"])
def test_a_task_whose_idle_connection_ended_does_not_notice(
    start: Callable[..., Process], task: str
) -> None:
    # One slot, so that the same thread gets all of them.
    start(*SELDOM, "-q", "default", "-c", "1")
    for number in range(1, 4):
        job(task).defer(number=number)
        wait_for(lambda: counted_outcomes() == {(1, "succeeded"): number})  # noqa: B023  # called at once
        terminate_all()
        wait_for(lambda: count_listening() == 1)
    assert effects() == [1, 2, 3]


def test_connections_that_ended_in_a_long_pause_are_replaced(
    start: Callable[..., Process],
) -> None:
    worker = start(*SELDOM, "-q", "default", "-c", "1")
    tasks = ("note", "note_asynchronously", "note_together")
    for number, task in enumerate(tasks):
        job(task).defer(number=number)
    wait_for(lambda: counted_outcomes() == {(1, "succeeded"): 3})
    terminate_all()
    time.sleep(IDLE + 0.5)  # the pause, which is what this is about
    for number, task in enumerate(tasks, start=3):
        job(task).defer(number=number)
    wait_for(lambda: len(effects()) == 6 or worker.has_ended)
    wait_for(lambda: counted_outcomes() == {(1, "succeeded"): 6})
    assert not worker.has_ended, worker.log


def test_an_async_task_does_not_notice_that_a_connection_ended(
    start: Callable[..., Process],
) -> None:
    start(*SELDOM, "-q", "default")
    for number in range(1, 4):
        job("note_asynchronously").defer(number=number)
        wait_for(lambda: counted_outcomes() == {(1, "succeeded"): number})  # noqa: B023  # called at once
        terminate_all()
        wait_for(lambda: count_listening() == 1)
    assert not JobLog.objects.exclude(outcome="succeeded").exists()


def test_a_worker_survives_the_loss_of_its_heartbeats_connection(
    start: Callable[..., Process],
) -> None:
    # So often that the connection counts as used a moment ago.
    worker = start(*SELDOM, "-q", "default", "--heartbeat-interval", "0.5")
    for number in range(1, 4):
        terminate_all()
        beat = last_heartbeat()
        wait_for(lambda: worker.has_ended or last_heartbeat() != beat)  # noqa: B023  # called at once
        assert not worker.has_ended, worker.log
        wait_for(lambda: count_listening() == 1)
        job("note").defer(number=number)
        wait_for(lambda: len(effects()) == number)  # noqa: B023  # called at once
    assert worker.stop() == 0


def last_heartbeat() -> object:
    return execute("SELECT max(last_heartbeat) FROM procrastinate_workers")


def test_a_worker_listens_again_after_a_moment_without_a_server(
    start: Callable[..., Process],
) -> None:
    worker = start(*SELDOM, "-q", "default")
    with no_connections():
        # It has tried to connect, and was refused.
        wait_for(lambda: "not currently accepting connections" in worker.log)
    wait_for(lambda: worker.has_ended or count_listening() == 1)
    assert not worker.has_ended, worker.log
    job("note").defer(number=1)
    wait_for(lambda: effects() == [1])
