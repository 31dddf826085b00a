"""Tasks that take longer than they may; the worker runs in this process."""

from __future__ import annotations

import asyncio
import math
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from procrastinate import RetryStrategy

from joblogs.engine.batch import transactional
from joblogs.engine.immediate import run_now
from joblogs.engine.time_limit import TimeLimitExceededError, check_time, remaining, time_limit
from joblogs.models import Job, JobLog
from tests.jobs import outcomes, statuses
from tests.processes import database_url
from tests.sql import elsewhere, execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblogs.engine.batch import BatchJob

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 60  # seconds: no test takes so long


def until_the_time_is_up() -> None:
    with suppress(TimeLimitExceededError):
        wait_for(check_time)


def in_a_loop() -> None:
    wait_for(check_time)


def in_a_statement() -> None:
    execute(f"SELECT pg_sleep({LONG})")


def in_a_later_transaction() -> None:
    for seconds in (0, LONG):
        with transaction.atomic():
            execute(f"SELECT pg_sleep({seconds})")


def in_rows_of_a_cursor() -> None:
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s * n) FROM generate_series(0, 1) AS n", [LONG])
        cursor.fetchmany(2)


def in_many_statements() -> None:
    with connection.cursor() as cursor:
        cursor.executemany("SELECT pg_sleep(%s)", [(0,), (LONG,)])


def between_statements() -> None:
    wait_for(lambda: execute("SELECT 0") == [(1,)])


async def in_a_pause() -> None:
    await asyncio.sleep(LONG)


async def in_a_query() -> None:
    await sync_to_async(execute)(f"SELECT pg_sleep({LONG})")


async def in_a_loop_of_a_thread() -> None:
    await sync_to_async(in_a_loop)()


WAYS = (
    in_a_loop,
    in_a_statement,
    in_a_later_transaction,
    in_rows_of_a_cursor,
    in_many_statements,
    between_statements,
    in_a_pause,
    in_a_query,
    in_a_loop_of_a_thread,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_task_that_takes_too_long_fails_by_its_retry_rule(
    task: Callable[..., Any], run_jobs: Callable[..., None], way: Callable[..., Any]
) -> None:
    retry = RetryStrategy(max_attempts=1, wait=3_600, retry_exceptions=[TimeLimitExceededError])
    pk = task(time_limit(0.2)(way), retry=retry).defer()
    run_jobs()
    log = JobLog.objects.get(job_id=pk)
    assert log.outcome == "failed"
    assert log.error_class == "joblogs.engine.time_limit.TimeLimitExceededError"
    assert log.error_message == "It took longer than its limit of 0.2 s."
    assert way.__name__ in log.traceback
    assert 0.2 <= (log.finished_at - log.started_at).total_seconds() < LONG / 2
    assert Job.objects.get(pk=pk).status == "todo"
    # Nor does a cancelled one leave its statement to run on in its thread.
    wait_for(
        lambda: (
            elsewhere(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%%'"
            )
            == [(0,)]
        )
    )


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_a_task_that_is_quick_enough_succeeds(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    warnings: Callable[[], list[str]],
    is_async: bool,
) -> None:
    def work(n: int) -> list[Any]:
        check_time()
        left = remaining()
        assert left is not None
        assert 0 < left <= LONG
        return [value for (value,) in execute(f"SELECT {n}")]

    async def work_asynchronously(n: int) -> list[Any]:
        check_time()
        return await sync_to_async(work)(n)

    pk = task(time_limit(LONG)(work_asynchronously if is_async else work)).defer(n=1)
    run_jobs()
    assert JobLog.objects.get(job_id=pk).result == [1]
    assert warnings() == []


def test_the_time_has_no_end_without_a_limit() -> None:
    assert remaining() is None
    check_time()
    time_limit(LONG)(check_time)()
    assert remaining() is None


def test_a_task_that_does_not_stop_succeeds_and_is_told_of(
    task: Callable[..., Any], run_jobs: Callable[..., None], warnings: Callable[[], list[str]]
) -> None:
    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)

    job_ids = [task(time_limit(0.1)(each)).defer() for each in (until_the_time_is_up, stubborn)]
    run_jobs()
    assert statuses(*job_ids) == ["succeeded"] * 2
    names = sorted(line.split()[0].rpartition(".")[2] for line in warnings())
    assert names == ["stubborn", "until_the_time_is_up"]
    assert all("was not to be stopped" in line for line in warnings())


@pytest.mark.parametrize("is_asked_for", [True, False], ids=["asked for", "at a stop"])
def test_a_cancellation_by_others_is_no_matter_of_the_limit(
    task: Callable[..., Any], run_worker: Callable[..., None], is_asked_for: bool
) -> None:
    ended: list[type[BaseException]] = []

    @time_limit(LONG)
    async def work() -> None:
        ended.clear()
        begun.append(1)
        try:
            await asyncio.sleep(LONG)
        except BaseException as error:
            ended.append(type(error))
            raise

    begun: list[int] = []
    pk = task(work).defer()

    def until() -> bool:
        if begun and is_asked_for:
            elsewhere("UPDATE procrastinate_jobs SET abort_requested = true WHERE id = %s", pk)
            return bool(ended)
        return bool(begun)

    run_worker(until, shutdown_graceful_timeout=0.1)
    assert ended == [asyncio.CancelledError]
    assert outcomes(pk) == [(1, "aborted")]


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_of_limits_inside_each_other_the_nearer_one_counts(
    task: Callable[..., Any], is_async: bool
) -> None:
    def look() -> float | None:
        return remaining()

    async def look_asynchronously() -> float | None:
        return remaining()

    inner = task(time_limit(30)(look_asynchronously if is_async else look))

    def outer() -> list[float]:
        return [left for left in (run_now(inner), remaining()) if left]

    below, after = time_limit(LONG)(outer)()
    assert below <= 30 < after <= LONG
    below, after = time_limit(20)(outer)()
    assert after < below <= 20

    with pytest.raises(TimeLimitExceededError, match=r"limit of 0\.1 s"):
        time_limit(0.1)(time_limit(LONG)(in_a_loop))()
    with pytest.raises(TimeLimitExceededError, match=r"limit of 0\.1 s"):
        async_to_sync(time_limit(0.1)(time_limit(LONG)(in_a_pause)))()


def test_a_batch_has_the_time_for_each_call(
    batch: Callable[..., Any], run_worker: Callable[..., None]
) -> None:
    calls: list[int] = []

    @time_limit(0.3)
    def work(jobs: Sequence[BatchJob]) -> None:
        calls.append(len(jobs))
        if any(job.arguments["slow"] for job in jobs):
            in_a_statement()

    together = batch(work)
    job_ids = [together.defer(slow=slow) for slow in (False, True, False)]
    run_worker(until=lambda: JobLog.objects.count() == 3)
    assert statuses(*job_ids) == ["succeeded", "failed", "succeeded"]
    assert calls == [3, 1, 1, 1]


@pytest.mark.parametrize("kind", ["inside", "outside", "batch"])
def test_the_end_of_a_job_is_given_all_the_time_it_needs(
    task: Callable[..., Any], batch: Callable[..., Any], run_jobs: Callable[..., None], kind: str
) -> None:
    seconds = 1.0

    def hold_up_the_end(job_id: int) -> None:
        with psycopg.connect(database_url()) as other:
            other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [job_id])
            held.set()
            waits = (
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND now() - query_start > %s * interval '3 s'"
            )
            wait_for(lambda: elsewhere(waits, seconds))

    def work(*_: object) -> None:
        holders.append(threading.Thread(target=hold_up_the_end, args=[pk]))
        holders[-1].start()
        held.wait()
        execute("SELECT 1")

    held, holders = threading.Event(), list[threading.Thread]()
    match kind:
        case "inside":
            registered = task(transactional(time_limit(seconds)(work)))
        case "outside":
            registered = task(time_limit(seconds)(transactional(work)))
        case _:
            registered = batch(time_limit(seconds)(work))
    pk = registered.defer()
    run_jobs()
    holders[0].join()
    assert outcomes(pk) == [(1, "succeeded")]


def test_a_task_is_refused_when_it_is_declared(
    task: Callable[..., Any], batch: Callable[..., Any]
) -> None:
    for registered in (task(in_a_loop), batch(in_a_statement)):
        with pytest.raises(ImproperlyConfigured, match="is a task already"):
            time_limit(1)(registered)


@pytest.mark.parametrize(
    "seconds",
    [0, -1, math.nan, math.inf, "30", None, True, pytest.param(in_a_loop, id="the task")],
    ids=repr,
)
def test_what_is_no_number_of_seconds_is_refused_at_once(seconds: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"as in @time_limit\(30\), not"):
        time_limit(seconds)
