"""Connections that end while a worker has them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import connection

from joblogs.engine.connections import IDLE
from joblogs.models import JobLog
from tests.engine_processes.conftest import SELDOM, count_listening
from tests.engine_processes.jobs import effects, job, outcomes
from tests.processes import database_url
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Process

pytestmark = pytest.mark.django_db(transaction=True)

TERMINATE_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM (SELECT pid FROM pg_stat_activity"
    " WHERE datname = %s AND backend_type = 'client backend'"
    "   AND pid NOT IN (pg_backend_pid(), %s)) AS others"
)


def own_backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def terminate_all_connections() -> int:
    """End the connections of all workers; return how many there were."""
    with psycopg.connect(database_url(), autocommit=True) as other:
        name = connection.settings_dict["NAME"]
        return other.execute(TERMINATE_OTHERS, [name, own_backend()]).rowcount


def test_an_idle_worker_whose_connections_all_ended_is_woken_again(
    start: Callable[..., Process],
) -> None:
    worker = start(*SELDOM, "-q", "default")
    job("note").defer(number=1)
    wait_for(lambda: outcomes() == {(1, "succeeded"): 1})
    # Its pool, the connection that listens, and Django's in the thread of the task.
    assert terminate_all_connections() >= 3
    wait_for(lambda: count_listening() == 1)
    job("note").defer(number=2)
    wait_for(lambda: effects() == [1, 2])
    wait_for(lambda: outcomes() == {(1, "succeeded"): 2})
    assert worker.stop() == 0


@pytest.mark.parametrize("task", ["note", "note_together", "note_exactly_once"])
def test_a_task_whose_idle_connection_ended_does_not_notice(
    start: Callable[..., Process], task: str
) -> None:
    # One slot, so that the same thread gets all of them.
    start(*SELDOM, "-q", "default", "-c", "1")
    for number in range(1, 4):
        job(task).defer(number=number)
        wait_for(lambda: outcomes() == {(1, "succeeded"): number})  # noqa: B023  # called at once
        terminate_all_connections()
        wait_for(lambda: count_listening() == 1)
    assert effects() == [1, 2, 3]


def test_connections_that_ended_in_a_long_pause_are_replaced(
    start: Callable[..., Process],
) -> None:
    worker = start(*SELDOM, "-q", "default", "-c", "1")
    tasks = ("note", "note_asynchronously", "note_together")
    for number, task in enumerate(tasks):
        job(task).defer(number=number)
    wait_for(lambda: outcomes() == {(1, "succeeded"): 3})
    terminate_all_connections()
    time.sleep(IDLE + 0.5)  # the pause, which is what this is about
    for number, task in enumerate(tasks, start=3):
        job(task).defer(number=number)
    wait_for(lambda: len(effects()) == 6 or worker.has_ended)
    wait_for(lambda: outcomes() == {(1, "succeeded"): 6})
    assert not worker.has_ended, worker.log


def test_an_asynchronous_task_whose_idle_connection_ended_does_not_notice(
    start: Callable[..., Process],
) -> None:
    start(*SELDOM, "-q", "default")
    for number in range(1, 4):
        job("note_asynchronously").defer(number=number)
        wait_for(lambda: outcomes() == {(1, "succeeded"): number})  # noqa: B023  # called at once
        terminate_all_connections()
        wait_for(lambda: count_listening() == 1)
    assert not JobLog.objects.exclude(outcome="succeeded").exists()


def test_a_worker_survives_the_loss_of_the_connection_that_its_heartbeat_would_use(
    start: Callable[..., Process],
) -> None:
    # So often that the connection counts as used a moment ago.
    worker = start(*SELDOM, "-q", "default", "--heartbeat-interval", "0.5")
    for number in range(1, 4):
        terminate_all_connections()
        beat = last_heartbeat()
        wait_for(lambda: worker.has_ended or last_heartbeat() != beat)  # noqa: B023  # called at once
        assert not worker.has_ended, worker.log
        wait_for(lambda: count_listening() == 1)
        job("note").defer(number=number)
        wait_for(lambda: len(effects()) == number)  # noqa: B023  # called at once
    assert worker.stop() == 0


def last_heartbeat() -> object:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(last_heartbeat) FROM procrastinate_workers")
        return cursor.fetchone()[0]


def test_a_worker_goes_on_listening_after_a_moment_without_a_server(
    start: Callable[..., Process],
) -> None:
    worker = start(*SELDOM, "-q", "default")
    name = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    elsewhere = psycopg.conninfo.make_conninfo(database_url(), dbname="postgres")
    with psycopg.connect(elsewhere, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        try:
            other.execute(TERMINATE_OTHERS, [connection.settings_dict["NAME"], own_backend()])
            # It has tried to connect, and was refused.
            wait_for(lambda: "not currently accepting connections" in worker.log)
        finally:
            other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    wait_for(lambda: worker.has_ended or count_listening() == 1)
    assert not worker.has_ended, worker.log
    job("note").defer(number=1)
    wait_for(lambda: effects() == [1])
