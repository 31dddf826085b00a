"""When workers are told of jobs: after the commit, and few times however many jobs there are."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from joblogs.engine import waking
from joblogs.engine.waking import LONGEST, SHORTEST, waker
from tests.engine_processes.jobs import FOLDER, job
from tests.engine_processes.listener import ANY
from tests.processes import Process, database_url
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from procrastinate.types import JSONDict

    from tests.engine_processes.listener import Listener

# Seconds; how soon exactly is measured by `manage.py benchmark latency`.
SOON = 1.0

pytestmark = pytest.mark.django_db(transaction=True)


def seen_elsewhere() -> int:
    """Return how many jobs somebody else can see now."""
    with psycopg.connect(database_url()) as other:
        row = other.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()
    return int(row[0]) if row else 0


def test_a_transaction_wakes_workers_after_its_commit(listener: Listener) -> None:
    with transaction.atomic():
        job("note").defer(number=1)
        with transaction.atomic():
            job("note", queue="low").defer(number=2)
        assert seen_elsewhere() == 0
    listener.wait_for("low", jobs=2)
    notices = listener.heard()
    assert sorted(notice.queue for notice in notices) == [ANY, ANY, "default", "low"]
    assert [notice.jobs for notice in notices] == [2] * 4
    assert {notice.job_id for notice in notices} == {None}


def test_what_is_rolled_back_wakes_nobody(listener: Listener) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        job("note").defer(number=1)
        _ = 1 / 0
    with transaction.atomic():
        job("note", queue="low").defer(number=2)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            job("note").defer(number=3)
            _ = 1 / 0
    listener.wait_for("low", jobs=1)
    assert {notice.queue for notice in listener.heard()} == {ANY, "low"}


def test_outside_transactions_workers_are_woken_at_once(listener: Listener) -> None:
    job("note").defer(number=1)
    listener.wait_for("default", jobs=1)
    notices = listener.heard()
    assert sorted(notice.queue for notice in notices) == [ANY, "default"]
    assert [notice.jobs for notice in notices] == [1, 1]


def test_jobs_deferred_together_wake_once(listener: Listener) -> None:
    arguments: list[JSONDict] = [{"number": number} for number in range(50)]
    job("note").batch_defer(*arguments)
    listener.wait_for("default", jobs=50)
    assert sorted(notice.queue for notice in listener.heard()) == [ANY, "default"]


def test_asynchronous_code_wakes_workers_after_its_commit(listener: Listener) -> None:
    def in_a_transaction() -> None:
        with transaction.atomic():
            job("note", queue="high").defer(number=4)
            seen.append(seen_elsewhere())

    async def defer() -> None:
        await job("note").defer_async(number=1)
        await job("note", queue="low").batch_defer_async({"number": 2}, {"number": 3})
        await sync_to_async(in_a_transaction)()
        await sync_to_async(connections.close_all)()

    seen: list[int] = []
    thread = threading.Thread(target=asyncio.run, args=[defer()])
    thread.start()
    thread.join()
    assert seen == [3]
    listener.wait_for("high", jobs=4)
    assert {notice.queue for notice in listener.heard()} == {ANY, "default", "low", "high"}


# The outer transaction is of the other database, as seen from the jobs, and rolled back.
TWO_DATABASES = """
import django
django.setup()
from contextlib import suppress
from django.db import connections, transaction
from joblogs.engine.connectors import DjangoConnector
from joblogs.engine.manager import JobManager
from joblogs.engine.waking import wake_after_commit
from tests.engine_processes.jobs import job
connections.databases["other"] = connections.databases["default"]
manager = JobManager(DjangoConnector(alias="other"))
with suppress(ZeroDivisionError), transaction.atomic():
    with transaction.atomic(using="other"):
        manager.batch_defer_jobs([job("note").job.evolve(task_kwargs={"number": 1})])
        wake_after_commit(["low"], using="other")
    1 / 0
"""


def test_the_commit_of_the_jobs_own_database_counts(listener: Listener, tmp_path: Path) -> None:
    process = Process("-c", TWO_DATABASES, url=database_url(), log=tmp_path / "log")
    assert process.process.wait(timeout=90) == 0, process.log
    listener.wait_for("default", jobs=1)
    listener.wait_for("low", jobs=1)


@pytest.fixture
def new_waker() -> Iterator[None]:
    """One that has sent nothing yet, and that no other test gets."""
    waker.cache_clear()
    yield
    waker("default").flush()
    waker.cache_clear()


@pytest.mark.usefixtures("new_waker")
@pytest.mark.parametrize("threads", [1, 10])
def test_a_burst_costs_few_notices(
    listener: Listener,
    in_threads: Callable[..., list[BaseException | None]],
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    # So long that a busy machine makes no pause in it, after which a new burst would begin.
    longest = 50 * LONGEST
    monkeypatch.setattr(waking, "LONGEST", longest)
    commits: list[float] = []

    def burst() -> None:
        for number in range(500 // threads):
            job("note").defer(number=number)
            commits.append(time.monotonic())

    started = time.monotonic()
    assert in_threads(*[burst] * threads) == [None] * threads
    # Who is woken last finds all there is, and soon.
    last = listener.wait_for("default", jobs=500)
    assert last.heard_at < max(commits) + longest + SOON

    notices = [notice for notice in listener.heard() if notice.queue == "default"]
    assert notices[0].heard_at < max(commits)
    # The first few come closer to each other.
    assert len(notices) <= (max(commits) - started) / longest + 10


@pytest.mark.usefixtures("new_waker")
def test_a_notice_keeps_its_distance_from_one_sent_meanwhile(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            # The first goes out at once, with the one that waits; the second has to wait again.
            job("note").defer(number=3)
            job("note", queue="low").defer(number=4)

    # A clock on which time passes only while the thread waits.
    clock = SimpleNamespace(monotonic=lambda: sum(waits), sleep=sleep)
    monkeypatch.setattr(waking, "time", clock)
    job("note").defer(number=1)
    job("note").defer(number=2)

    listener.wait_for("low", jobs=4)
    assert waits == [SHORTEST, 2 * SHORTEST]
    assert [notice.queue for notice in listener.heard() if notice.queue != ANY] == [
        "default",
        "default",
        "low",
    ]


@pytest.mark.usefixtures("new_waker")
def test_single_jobs_are_told_before_defer_returns() -> None:
    with psycopg.connect(database_url(), autocommit=True) as connection:
        connection.execute('LISTEN "procrastinate_queue_v1#default"')
        for number in range(5):
            job("note").defer(number=number)
            connection.execute("SELECT 1")
            assert len(list(connection.notifies(timeout=0))) == 1
            time.sleep(2 * LONGEST)  # a pause is what this is about


def test_the_last_commit_of_any_burst_is_told_soon(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(waking, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    jobs = 0
    for milliseconds in [each / 10 for each in range(0, 50, 2)]:
        for _ in range(4):
            job("note").defer(number=jobs)
            jobs += 1
            time.sleep(milliseconds / 1_000)  # the distance of the commits is what this is about
        committed = time.monotonic()
        assert listener.wait_for("default", jobs=jobs).heard_at < committed + SOON
    assert all(wait <= LONGEST for wait in waits)


def test_sql_of_ones_own_wakes_workers_as_ever_even_next_to_ours(listener: Listener) -> None:
    with transaction.atomic():
        job("note").defer(number=1)
        execute(
            "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('low', %s, 0, NULL, NULL, '{}', NULL)"
            "::procrastinate_job_to_defer_v1])",
            f"{FOLDER}.note",
        )
        [(inserted,)] = execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('high', %s)"
            " RETURNING id",
            f"{FOLDER}.note",
        )
        assert seen_elsewhere() == 0
    listener.wait_for("default", jobs=3)
    assert {(notice.queue, notice.job_id) for notice in listener.heard()} == {
        (ANY, None),
        ("default", None),
        (ANY, inserted - 1),
        ("low", inserted - 1),
        (ANY, inserted),
        ("high", inserted),
    }
