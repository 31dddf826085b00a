"""Workers and others behind PgBouncer, which gives them a connection for one transaction only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.models import User
from joblogs.models import UserLog
from tests.engine_processes.jobs import counted_outcomes, effects, job, states
from tests.pgbouncer import PgBouncer
from tests.processes import Process
from tests.requirements import needs_pgbouncer
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.django_db(transaction=True),
    needs_pgbouncer,
]

CREATE_USERS = """
from accounts.models import User
for number in range({count}):
    User.objects.create_user(f"{name}{{number}}")
"""


@pytest.fixture
def pgbouncer(_table_of_effects: None, tmp_path: Path) -> Iterator[PgBouncer]:
    with PgBouncer(tmp_path) as pgbouncer:
        yield pgbouncer


@pytest.fixture
def create_users(pgbouncer: PgBouncer, tmp_path: Path) -> Callable[..., None]:
    """Create users in a process that is behind it, too."""

    def create(name: str, count: int) -> None:
        code = CREATE_USERS.format(name=name, count=count)
        log = tmp_path / f"{name}.log"
        process = Process("manage.py", "shell", "-c", code, url=pgbouncer.url, log=log)
        assert process.process.wait(timeout=90) == 0, process.log

    return create


def assert_nothing_went_wrong(worker: Process, pgbouncer: PgBouncer) -> None:
    assert worker.stop() == 0, worker.log
    for word in (" ERROR ", "psycopg", "prepared statement"):
        assert word not in worker.log
    assert "ERROR" not in pgbouncer.log


def test_a_worker_behind_it_logs_users_created_behind_it(
    start: Callable[..., Process], pgbouncer: PgBouncer, create_users: Callable[..., None]
) -> None:
    create_users("early", 100)
    worker = start("--no-listen-notify", url=pgbouncer.url)
    create_users("late", 20)
    wait_for(lambda: UserLog.objects.count() == 120)
    assert not User.objects.filter(logs=None).exists()
    assert_nothing_went_wrong(worker, pgbouncer)


def test_every_kind_of_task_does_its_work_behind_it(
    start: Callable[..., Process], pgbouncer: PgBouncer
) -> None:
    numbers = iter(range(1_000))
    for task in ("note", "note_asynchronously", "note_together", "note_exactly_once"):
        for _ in range(20):
            job(task).defer(number=next(numbers))
    for task in ("defer_note", "defer_note_asynchronously", "defer_note_exactly_once"):
        for _ in range(5):
            job(task).defer(number=next(numbers), queue="low")
    worker = start("--no-listen-notify", "-p", "0.2", url=pgbouncer.url)
    wait_for(lambda: len(effects()) == 95)
    assert effects() == list(range(95))
    wait_for(lambda: counted_outcomes() == {(1, "succeeded"): 110})
    assert_nothing_went_wrong(worker, pgbouncer)


def test_jobs_are_retried_behind_it(start: Callable[..., Process], pgbouncer: PgBouncer) -> None:
    for number in range(10):
        job("note_at_the_second_attempt").defer(number=number)
    worker = start("--no-listen-notify", "-p", "0.2", url=pgbouncer.url)
    wait_for(lambda: counted_outcomes() == {(1, "failed"): 10, (2, "succeeded"): 10})
    assert effects() == list(range(10))
    assert worker.log.count("ValueError: not yet") >= 10
    assert_nothing_went_wrong(worker, pgbouncer)


def test_a_worker_that_listens_behind_it_finds_jobs_by_polling(
    start: Callable[..., Process], pgbouncer: PgBouncer
) -> None:
    worker = start("-p", "0.5", url=pgbouncer.url)
    for number in range(10):
        job("note").defer(number=number)
        wait_for(lambda: states() == {"succeeded"})
    assert effects() == list(range(10))
    assert_nothing_went_wrong(worker, pgbouncer)
