"""What a worker fetched stays its own, however late PostgreSQL was and whoever meddled."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException
from psycopg import OperationalError

from joblogs.engine import connectors, fetcher, sessions
from joblogs.models import Job
from tests.jobs import outcomes, status_of
from tests.processes import database_url
from tests.sql import elsewhere
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    from joblogs.engine.connectors import WorkerConnector

    Run = Callable[..., None]
    Register = Callable[..., Any]

pytestmark = pytest.mark.django_db(transaction=True)

# A number that no worker of these tests gets.
WORKER = 4_711


def while_holding(use: Callable[[WorkerConnector], Awaitable[None]]) -> None:
    """Do something with a connector that holds the lock of WORKER, or tries to."""

    connector = app.connector.get_worker_connector()  # type: ignore[attr-defined]  # ours

    async def hold_and_use() -> None:
        await connector.open_async()
        holding = asyncio.create_task(connector.hold_lock(WORKER))
        try:
            await use(connector)
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            await connector.close_async()

    asyncio.run(hold_and_use())


async def becomes(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


def last_use_of_the_lock() -> datetime | None:
    """Return when the session that has the lock was used; None while none has it."""
    rows = elsewhere(
        "SELECT state_change FROM pg_stat_activity JOIN pg_locks USING (pid)"
        " WHERE locktype = 'advisory' AND classid::bigint << 32 | objid::bigint"
        " = joblogs_worker_lock_v1(%s)",
        WORKER,
    )
    return rows[0][0] if rows else None


@pytest.fixture
def slow_start(transactional_db: None) -> Iterator[Callable[[int], None]]:
    """Have PostgreSQL take a second to start a job."""

    def of(job_id: int) -> None:
        elsewhere(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(1); RETURN new; END; $$"
        )
        elsewhere(
            "CREATE TRIGGER dawdle BEFORE UPDATE OF status ON procrastinate_jobs FOR EACH ROW"
            f" WHEN (new.status = 'doing' AND new.id = {job_id}) EXECUTE FUNCTION dawdle()"
        )

    yield of
    elsewhere("DROP FUNCTION dawdle CASCADE")


def test_a_job_of_a_fetch_given_up_runs_beside_full_slots(
    task: Register,
    run_worker: Run,
    slow_start: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connectors, "PATIENCE", 0.3)
    monkeypatch.setattr(fetcher, "PAUSE", 0.1)
    may_end = threading.Event()
    ran: list[int] = []

    async def note(n: int) -> None:
        ran.append(n)
        while n and not may_end.is_set():  # noqa: ASYNC110  # it is of another thread
            await asyncio.sleep(0.05)

    noting = task(note)
    jobs = [noting.defer(n=n) for n in range(2)]
    slow_start(jobs[0])

    def until() -> bool:
        try:
            # The other one has the only slot all the time.
            wait_for(lambda: outcomes(jobs[0]))
            assert status_of(jobs[1]) == "doing"
        finally:
            may_end.set()
        return bool(wait_for(lambda: outcomes(jobs[1])))

    run_worker(until, concurrency=1)
    assert sorted(ran) == [0, 1]
    assert [outcomes(pk) for pk in jobs] == [[(1, "succeeded")]] * 2


def test_a_stop_does_not_wait_for_a_fetch_that_takes_long(
    task: Register, run_worker: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = task(lambda: None).defer()
    with closing(psycopg.connect(database_url(), autocommit=True)) as session:
        # No fetch comes to its end.
        session.execute("BEGIN")
        session.execute("LOCK TABLE job_queues IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setattr(connectors, "PATIENCE", 60.0)
        waiting = "SELECT pid FROM pg_locks WHERE relation = 'job_queues'::regclass AND NOT granted"
        began: list[float] = []

        def until() -> bool:
            wait_for(lambda: elsewhere(waiting))
            began.append(time.monotonic())
            return True

        run_worker(until)
        assert time.monotonic() - began[0] < 10
    assert outcomes(job_id) == []


def test_no_job_is_lost_or_run_twice_while_rows_keep_vanishing(
    task: Register, run_worker: Run
) -> None:
    ran: list[int] = []

    def note(n: int) -> None:
        ran.append(n)

    noting = task(note)
    jobs = noting.batch_defer(*({"n": n} for n in range(100)))

    def until() -> bool:
        elsewhere("SELECT joblogs_unregister_worker_v1(id) FROM procrastinate_workers")
        return not Job.objects.exclude(status="succeeded").exists()

    run_worker(until, concurrency=10, update_heartbeat_interval=0.1)
    assert sorted(ran) == list(range(100))
    assert set(Job.objects.values_list("attempts", flat=True)) == {1}
    assert len(jobs) == 100


@pytest.fixture
def vanish(transactional_db: None) -> Iterator[Callable[[], None]]:
    """Delete the rows of all workers, and again three times right after they have registered."""

    def now() -> None:
        elsewhere("CREATE SEQUENCE vanished")
        elsewhere(
            "CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('vanished') <= 3 THEN PERFORM joblogs_unregister_worker_v1(new.id);"
            " END IF; RETURN NULL; END; $$"
        )
        elsewhere(
            "CREATE CONSTRAINT TRIGGER vanish AFTER INSERT ON procrastinate_workers"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION vanish()"
        )
        elsewhere("SELECT joblogs_unregister_worker_v1(id) FROM procrastinate_workers")

    yield now
    elsewhere("DROP FUNCTION vanish CASCADE")
    elsewhere("DROP SEQUENCE vanished")


def test_a_job_ends_once_though_its_workers_row_vanishes_again_and_again(
    task: Register, run_worker: Run, vanish: Callable[[], None]
) -> None:
    job_id = task(vanish).defer()
    run_worker(lambda: status_of(job_id) == "succeeded", update_heartbeat_interval=60)
    assert outcomes(job_id) == [(1, "succeeded")]


@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "in a transaction"])
def test_a_worker_ends_its_old_session_that_has_its_lock(
    transactional_db: None, is_idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors, "AGAIN", 0.05)
    with closing(psycopg.connect(database_url(), autocommit=is_idle)) as before:
        before.execute("SELECT pg_advisory_lock(joblogs_worker_lock_v1(%s))", [WORKER])
        if is_idle:
            while_holding(lambda connector: becomes(lambda: connector.holds_lock))
            with pytest.raises(OperationalError):
                before.execute("SELECT 1")
        else:
            # Such a one is somebody who looks after its jobs just now.
            with pytest.raises(TimeoutError):
                while_holding(lambda connector: becomes(lambda: connector.holds_lock, seconds=1))
            before.execute("SELECT 1")


def test_the_locks_session_is_tried_when_another_falls_silent(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors, "PATIENCE", 0.3)
    monkeypatch.setattr(connectors, "SILENCE", 60.0)

    async def use(connector: WorkerConnector) -> None:
        await becomes(lambda: connector.holds_lock)
        tried = last_use_of_the_lock()
        assert tried
        with pytest.raises(ConnectorException):
            await connector.execute_query_async("SELECT pg_sleep(1)")
        await becomes(lambda: (last_use_of_the_lock() or tried) > tried)

    while_holding(use)


def test_the_session_of_a_lock_that_nobody_uses_any_more_ends(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sessions.OF_THE_LOCK, "idle_session_timeout", "200ms")

    async def use(connector: WorkerConnector) -> None:
        await becomes(lambda: connector.holds_lock)
        await becomes(lambda: not connector.holds_lock)

    while_holding(use)
