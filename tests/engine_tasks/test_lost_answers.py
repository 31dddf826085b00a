"""Answers of PostgreSQL that never come, on connections that nobody says are broken."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.db.backends.signals import connection_created
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException

from joblogs.engine import connectors, contact, fetcher, lost_answers
from joblogs.engine.lost_answers import LostAnswers
from joblogs.engine.sessions import NoAnswerError
from joblogs.models import Job, JobLog, JobWorker
from tests.jobs import outcomes, statuses
from tests.proxies import SilentProxy, led_through
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import SOON, give_to_a_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from joblogs.engine.batch import BatchJob

pytestmark = pytest.mark.django_db(transaction=True)

GOT_LOST = "An answer of PostgreSQL got lost: ending the connection that waits for it."


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentProxy]:
    """Lead all connections that are opened from now on through a proxy; nobody is patient."""
    monkeypatch.setattr(connectors, "PATIENCE", 0.5)
    monkeypatch.setattr(lost_answers, "PAUSE", 0.3)
    monkeypatch.setattr(lost_answers, "LONG", 0.5)
    with led_through(SilentProxy, monkeypatch) as proxy:
        yield proxy


# Of the engine's own statements


@pytest.mark.parametrize("statement", [b"joblogs_fetch_jobs_v1", b"joblogs_finish_jobs_v1"])
def test_a_job_of_a_fetch_or_an_end_without_an_answer_runs_once(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    silence: SilentProxy,
    lines: Callable[..., list[str]],
    statement: bytes,
) -> None:
    ran: list[None] = []

    def work() -> None:
        ran.append(None)

    job_id = task(work).defer()
    silence.swallow(statement)
    run_worker(lambda: lines("tests.work"))
    assert silence.times == 0
    assert len(ran) == 1
    assert outcomes(job_id) == [(1, "succeeded")]
    assert len(lines("tests.work")) == 1


def test_a_one_shot_worker_goes_on_after_a_lost_answer(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    silence: SilentProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The job of the lost answer is found before the fetch is tried again, and has the only slot.
    monkeypatch.setattr(fetcher, "PAUSE", 0.0)
    monkeypatch.setattr(contact, "FIRST", 2.0)
    working = task(lambda: time.sleep(3))
    job_ids = [working.defer() for _ in range(2)]
    silence.swallow(b"joblogs_fetch_jobs_v1")
    run_worker(lambda: all(map(outcomes, job_ids)), concurrency=1, wait=False)
    assert [outcomes(job_id) for job_id in job_ids] == [[(1, "succeeded")]] * 2


def test_a_stop_waits_for_a_fetch_and_puts_back_what_it_brings(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    silence: SilentProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connectors, "PATIENCE", 10.0)
    job_id = task(lambda: None).defer()
    silence.delay = 1.0
    silence.swallow(b"joblogs_fetch_jobs_v1")
    run_worker(lambda: statuses(job_id) == ["doing"])
    assert (statuses(job_id), outcomes(job_id)) == (["todo"], [])
    assert Job.objects.get().attempts == 0


def test_an_unanswered_worker_lets_others_first_say_they_live(
    run_worker: Callable[..., None], silence: SilentProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"PATIENCE": 0.3, "MOST_PATIENCE": 0.3}.items():
        monkeypatch.setattr(connectors, name, seconds)
    monkeypatch.setattr(contact, "LONGEST", 0.1)
    silent = app.configure_task("nothing", allow_unknown=True, queue="nobody's").defer()
    last_try: list[datetime] = []

    def until() -> bool:
        # It has looked after others already.
        wait_for(lambda: (age_of_the_worker() or 0) > SOON["stalled_worker_timeout"])
        silence.swallow(b"joblogs_heartbeat_v1", times=4)
        give_to_a_worker(silent)
        wait_for(lambda: silence.times == 0)
        last_try.append(timezone.now())
        return bool(wait_for(lambda: outcomes(silent)))

    # So that the row itself tells of no gap, though it has been unanswered for long.
    run_worker(until, **(SOON | {"update_heartbeat_interval": 0.3}), queues=["default"])
    log = JobLog.objects.get(job_id=silent)
    assert log.outcome == "lost"
    assert (log.finished_at - last_try[0]).total_seconds() > SOON["stalled_worker_timeout"]


def age_of_the_worker() -> float | None:
    """Return for how many seconds the worker has been registered."""
    began = JobWorker.objects.values_list("started_at", flat=True).first()
    return (timezone.now() - began).total_seconds() if began else None


def test_each_lost_answer_means_more_patience_and_a_new_pool(
    silence: SilentProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors, "PATIENCE", 0.2)
    monkeypatch.setattr(connectors, "MOST_PATIENCE", 0.5)
    connector = app.connector.get_worker_connector()  # type: ignore[attr-defined]  # ours
    whose = "SELECT pg_backend_pid() AS pid, pg_sleep(0.05)"

    async def backends(least: int) -> set[int]:
        """Return who answers, of at least so many connections."""
        pids: set[int] = set()
        while len(pids) < least:
            queries = (connector.execute_query_one_async(query=whose) for _ in range(4))
            pids |= {row["pid"] for row in await asyncio.gather(*queries)}
        return pids

    async def time_without_an_answer() -> str:
        silence.swallow(b"into the void")
        with pytest.raises(ConnectorException) as failure:
            await connector.execute_query_async(query="SELECT 'into the void'")
        assert isinstance(failure.value.__cause__, NoAnswerError)
        return str(failure.value.__cause__).removeprefix("there was no answer within ")

    async def run() -> None:
        await connector.open_async()
        try:
            before = await backends(3)
            assert await time_without_an_answer() == "0.2 s"
            assert not before & await backends(1)
            times = [await time_without_an_answer() for _ in range(4)]
            assert times == ["0.2 s", "0.4 s", "0.5 s", "0.5 s"]
        finally:
            await connector.close_async()

    asyncio.run(run())


# Of statements of tasks


@pytest.mark.parametrize(
    ("word", "calls"),
    [(b'INSERT INTO "auth_group"', 2), (b"joblogs_finish_jobs_v1", 2), (b"COMMIT", 1)],
    ids=["of its work", "of its end", "of its commit"],
)
def test_a_batch_that_waits_for_a_lost_answer_is_done_once(
    batch: Callable[..., Any],
    run_worker: Callable[..., None],
    silence: SilentProxy,
    warnings: Callable[[], list[str]],
    word: bytes,
    calls: int,
) -> None:
    called: list[int] = []

    def note(jobs: Sequence[BatchJob]) -> None:
        called.append(len(jobs))
        Group.objects.bulk_create([Group(name=str(job.arguments["n"])) for job in jobs])

    noting = batch(note)
    job_ids = [noting.defer(n=n) for n in range(3)]
    silence.swallow(word)
    run_worker(lambda: all(outcomes(job_id) for job_id in job_ids), concurrency=1)
    assert silence.times == 0
    assert called == [3] * calls
    assert [outcomes(job_id) for job_id in job_ids] == [[(1, "succeeded")]] * 3
    assert Group.objects.count() == 3
    assert warnings().count(GOT_LOST) == 1


def take_its_time() -> None:
    execute("SELECT pg_sleep(2)")  # six looks


def listen() -> None:
    connection.ensure_connection()
    # The server does nothing for longer than the two seconds that it may be about to answer.
    assert list(connection.connection.notifies(timeout=3.5)) == []


@pytest.mark.parametrize("work", [take_its_time, listen])
def test_a_slow_statement_and_who_listens_are_left_alone(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    silence: SilentProxy,
    warnings: Callable[[], list[str]],
    work: Callable[[], None],
) -> None:
    job_id = task(work).defer()
    run_worker(lambda: outcomes(job_id))
    assert outcomes(job_id) == [(1, "succeeded")]
    assert warnings() == []


def test_who_reads_slowly_what_the_server_has_sent_is_left_alone(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    silence: SilentProxy,
    warnings: Callable[[], list[str]],
) -> None:
    read: list[Any] = []

    def work() -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY (SELECT generate_series(1, 40)) TO STDOUT") as copy,
        ):
            for row in copy.rows():
                read.append(row)
                time.sleep(0.1)  # the slowness that it is about

    job_id = task(work).defer()
    run_worker(lambda: outcomes(job_id))
    assert len(read) == 40
    assert outcomes(job_id) == [(1, "succeeded")]
    assert warnings() == []


def test_a_connection_taken_from_a_pool_often_is_watched_once() -> None:
    connector = app.connector.get_worker_connector()  # type: ignore[attr-defined]  # ours
    connection.ensure_connection()
    with LostAnswers(connector).watching():
        # More often than functions can be nested.
        for _ in range(1_100):
            connection_created.send(sender=type(connection), connection=connection)
        execute("SELECT 1")
