"""What becomes of notices that cannot be sent, or whose process ends."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction

from joblogs.engine.waking import waker
from tests.engine_processes.jobs import job
from tests.processes import Process, database_url
from tests.sql import elsewhere, execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine_processes.listener import Listener

pytestmark = pytest.mark.django_db(transaction=True)

NOT_WOKEN = "could not be woken"


@pytest.fixture
def no_function(transactional_db: None) -> Iterator[None]:
    """Take away the function that sends notices."""
    elsewhere("ALTER FUNCTION joblogs_wake_v1 RENAME TO joblogs_wake_gone")
    yield
    elsewhere("ALTER FUNCTION joblogs_wake_gone RENAME TO joblogs_wake_v1")


@pytest.mark.usefixtures("no_function")
def test_a_notice_that_cannot_be_sent_is_logged_and_hurts_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ran: list[str] = []
    with transaction.atomic():
        job("note").defer(number=1)
        transaction.on_commit(lambda: ran.append("the hook after it"))
    assert ran == ["the hook after it"]
    # In the burst that this is, by the thread, too.
    job("note").defer(number=2)
    wait_for(lambda: caplog.text.count(NOT_WOKEN) >= 2)
    levels = {each.levelno for each in caplog.records if NOT_WOKEN in each.getMessage()}
    assert levels == {logging.WARNING}
    assert execute("SELECT count(*) FROM procrastinate_jobs") == [(2,)]


def test_a_connection_lost_after_the_commit_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with transaction.atomic():
        [(backend,)] = execute("SELECT pg_backend_pid()")
        transaction.on_commit(lambda: elsewhere("SELECT pg_terminate_backend(%s)", backend))
        job("note").defer(number=1)
    assert NOT_WOKEN in caplog.text
    connection.close()
    assert len(elsewhere("SELECT id FROM procrastinate_jobs")) == 1


def defer_to_two_queues() -> None:
    """Commit what is told twice: for the one queue at once, for the other one by a thread."""
    with transaction.atomic():
        job("note").defer(number=1)
        job("note", queue="low").defer(number=2)


def test_the_thread_that_sends_notices_gets_a_new_connection_without_a_word(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    def defer_and_tell_by_the_thread(jobs: int) -> None:
        job("note", queue="low").defer(number=1)
        # As asynchronous tasks do, whose loop nothing may block.
        waker("default").wake(["default"], here=False)
        listener.wait_for("default", jobs=jobs)

    [(before,)] = execute("SELECT array_agg(pid) FROM pg_stat_activity")
    defer_and_tell_by_the_thread(jobs=1)
    of_thread = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
        "   AND pid <> ALL (%s) AND pid <> pg_backend_pid()"
    )
    assert len(elsewhere(of_thread, before)) == 1
    for jobs in range(2, 5):
        defer_and_tell_by_the_thread(jobs)
    assert NOT_WOKEN not in caplog.text


def test_a_thread_whose_notices_another_sent_goes_on_sending(listener: Listener) -> None:
    for jobs in range(1, 6):
        # So close to each other that the thread and the caller both want to send when it is time.
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            waker("default").wake(["default"])
        job("note").defer(number=jobs)
        waker("default").wake(["low"], here=False)
        listener.wait_for("low", jobs=jobs)


# Each child of it has a second notice for the thread; and ends after some milliseconds, in which
# the thread is about to send, connecting, sending, or through.
PAUSES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15]
SHORT_LIVED = """
import os, sys, time
import django
django.setup()
from django.db import connections
from tests.engine_processes.test_notices_that_fail import defer_to_two_queues
if {warm}:
    defer_to_two_queues()
    time.sleep(0.1)
    connections.close_all()
for milliseconds in {pauses}:
    if not (child := os.fork()):
        defer_to_two_queues()
        time.sleep(milliseconds / 1000)
        sys.exit()
    os.waitpid(child, 0)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("warm", [False, True], ids=["waker made after fork", "and before"])
def test_a_process_that_ends_after_a_burst_told_of_all_jobs(
    listener: Listener, tmp_path: Path, warm: bool
) -> None:
    code = SHORT_LIVED.format(warm=warm, pauses=PAUSES)
    log = tmp_path / "short-lived.log"
    process = Process("-c", code, url=database_url(), log=log, LOG_LEVEL="WARNING")
    assert process.process.wait(timeout=90) == 0, process.log
    assert process.log == ""
    told = {notice.jobs for notice in listener.heard() if notice.queue == "low"}
    # After each child's commit somebody was told to look at the second queue.
    after = 2 if warm else 0
    untold = [pause for index, pause in enumerate(PAUSES, start=1) if after + 2 * index not in told]
    assert untold == []
