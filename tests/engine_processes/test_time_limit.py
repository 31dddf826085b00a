"""What a time limit does to connections and coroutines, whoever calls the task."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, DataError, OperationalError, connection, transaction
from psycopg.pq import TransactionStatus

from joblogs.engine.time_limit import TimeLimitExceededError, check_time, remaining, time_limit
from tests.engine_processes.jobs import effects
from tests.pgbouncer import PgBouncer
from tests.processes import database_url
from tests.requirements import needs_pgbouncer
from tests.sql import execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 60  # seconds: no test takes so long


@pytest.fixture(autouse=True)
def _session_of_its_own(transactional_db: None) -> Iterator[None]:
    connection.close()
    yield
    connection.close()


def timeout() -> str:
    """Return the statement_timeout, past all that looks at statements."""
    connection.ensure_connection()
    row = connection.connection.execute("SHOW statement_timeout").fetchone()
    return str(row[0])


def write_together() -> None:
    with transaction.atomic():
        execute("INSERT INTO effects (number) VALUES (1)")


def roll_back_a_part() -> None:
    with suppress(DataError), transaction.atomic():
        execute("SELECT 1/0")
    execute("SELECT 1")


def overstay() -> None:
    execute("SELECT 1")
    with suppress(TimeLimitExceededError):
        wait_for(check_time)


def milliseconds() -> int:
    return int(timeout().replace("ms", "").replace("s", "000"))


ENDS: dict[str, Callable[[], object]] = {
    "well": lambda: execute("SELECT 1"),
    "well after a transaction": write_together,
    "well after a rollback": roll_back_a_part,
    "by an error": lambda: execute("SELECT 1/0"),
    "by the limit": lambda: execute(f"SELECT pg_sleep({LONG})"),
    "late": overstay,
}


@pytest.mark.parametrize("own", ["0", "7min"])
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("where", ["no transaction", "a transaction", "a savepoint"])
def test_a_connection_has_its_own_time_out_after_a_task(where: str, how: str, own: str) -> None:
    limited = time_limit(0.15)(ENDS[how])
    seen = []

    def run() -> None:
        with suppress(DataError, TimeLimitExceededError):
            limited()
        if connection.connection.info.transaction_status is not TransactionStatus.INERROR:
            seen.append(timeout())

    execute(f"SET statement_timeout = '{own}'")
    match where:
        case "no transaction":
            run()
        case "a transaction":
            with suppress(DatabaseError), transaction.atomic():
                run()
        case "a savepoint":
            with transaction.atomic():
                time_limit(LONG)(lambda: execute("SELECT 1"))()
                with suppress(DataError, TimeLimitExceededError), transaction.atomic():
                    limited()
                seen.append(timeout())
    assert {*seen, timeout()} == {own}


@pytest.mark.parametrize("how", ["well", "by the limit"])
def test_a_shared_thread_has_its_own_time_out_each_time(how: str) -> None:
    @time_limit(0.15)
    async def work() -> None:
        await sync_to_async(ENDS[how])()
        assert await sync_to_async(timeout)() == "7min"

    execute("SET statement_timeout = '7min'")
    with suppress(TimeLimitExceededError):
        async_to_sync(work)()
    assert timeout() == "7min"


@pytest.mark.parametrize("in_transaction", [False, True], ids=["outside", "inside"])
def test_a_shorter_time_out_stays_in_force_and_what_it_is(in_transaction: bool) -> None:
    work = time_limit(LONG)(ENDS["by the limit"])
    execute("SET statement_timeout = '50ms'")
    with pytest.raises(OperationalError, match="due to statement timeout"):
        (transaction.atomic(work) if in_transaction else work)()
    assert timeout() == "50ms"


def test_a_statement_is_given_no_more_than_what_is_left() -> None:
    seen: list[int] = []

    @time_limit(1)
    def work() -> None:
        for _ in range(20_000):
            execute("SELECT 1")
            seen.append(milliseconds())

    with pytest.raises(TimeLimitExceededError):
        work()
    assert seen == sorted(seen, reverse=True)
    assert 100 <= seen[-1] <= 110 < 900 < seen[0] <= 1_000
    # In steps of a tenth, and not for each of the statements.
    assert 10 < len(set(seen)) < 30 < len(seen)


@pytest.mark.parametrize("in_transaction", [False, True], ids=["outside", "inside"])
def test_it_costs_two_round_trips_at_most(tmp_path: Path, in_transaction: bool) -> None:
    def work() -> None:
        for _ in range(20):
            execute("SELECT 1")

    def sent(function: Callable[[], None]) -> int:
        trace = tmp_path / "trace"
        with trace.open("w") as file:
            connection.connection.pgconn.trace(file.fileno())
            function()
            connection.connection.pgconn.untrace()
        return len(re.findall(r"\tF\t\d+\tQuery", trace.read_text()))

    connection.ensure_connection()
    function = transaction.atomic(work) if in_transaction else work
    without = sent(function)
    # What is set for a transaction ends with it.
    assert sent(time_limit(LONG)(function)) == without + (1 if in_transaction else 2)


def test_what_has_to_come_first_in_a_transaction_still_can() -> None:
    @transaction.atomic
    def work() -> list[Any]:
        execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        return execute("SHOW transaction_isolation")

    assert time_limit(LONG)(work)() == [("serializable",)]


def test_work_whose_time_is_up_is_rolled_back_to_its_savepoint() -> None:
    @transaction.atomic
    def work() -> None:
        write_together()
        wait_for(check_time)

    with transaction.atomic():
        with suppress(TimeLimitExceededError):
            time_limit(0.1)(work)()
        execute("INSERT INTO effects (number) VALUES (3)")
    assert effects() == [3]


def test_a_statement_after_a_rollback_is_limited_too() -> None:
    @transaction.atomic
    def work() -> None:
        with suppress(DataError), transaction.atomic():
            wait_for(lambda: (remaining() or 0) < 0.5)
            execute("SELECT 1/0")
        execute("SELECT 1")
        assert milliseconds() <= 550

    time_limit(1)(work)()


def test_a_connection_that_is_lost_is_told_of_as_ever() -> None:
    [(backend,)] = execute("SELECT pg_backend_pid()")
    with psycopg.connect(database_url(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [backend])
    with pytest.raises(OperationalError):
        time_limit(LONG)(execute)("SELECT 1")


def test_a_connection_that_has_ended_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @time_limit(LONG)
    def work() -> None:
        execute("SELECT 1")
        connection.connection.close()

    work()
    assert caplog.records == []


def test_a_connection_on_which_the_time_out_would_stay_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @time_limit(LONG)
    def work() -> None:
        execute("SELECT 1")
        transaction.set_autocommit(False)
        execute("SELECT 1/0")

    with pytest.raises(DataError):
        work()
    assert "A connection is closed that keeps its statement_timeout" in caplog.text
    assert (execute("SELECT 1"), timeout()) == ([(1,)], "0")


def test_a_connection_is_watched_that_opens_while_others_watch_it() -> None:
    def watch(execute: Callable[..., Any], *arguments: Any) -> Any:
        return execute(*arguments)

    connection.execute_wrappers.clear()
    with connection.execute_wrapper(watch):
        execute("SELECT 1")
    for _ in ("watched", "not watched"):
        with pytest.raises(TimeLimitExceededError):
            time_limit(0.1)(ENDS["by the limit"])()
        connection.execute_wrappers.clear()


@needs_pgbouncer
def test_behind_a_pooler_only_transactions_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @time_limit(0.3)
    def work() -> None:
        execute("SELECT 1")
        assert timeout() == "0"
        with transaction.atomic():
            execute(f"SELECT pg_sleep({LONG})")

    direct = connection.get_connection_params()
    with PgBouncer(tmp_path) as pgbouncer, monkeypatch.context() as patch:
        behind = direct | {"host": "127.0.0.1", "port": pgbouncer.port}
        patch.setattr(connection, "get_connection_params", lambda: behind)
        with pytest.raises(TimeLimitExceededError):
            work()
        assert timeout() == "0"
        connection.close()


def test_a_cancellation_by_others_counts_more_than_the_limit() -> None:
    async def linger() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            running[0].cancel()
            await asyncio.sleep(0)

    async def run() -> None:
        running.append(asyncio.ensure_future(time_limit(0.05)(linger)()))
        await running[0]

    running: list[asyncio.Future[None]] = []
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


def test_a_time_out_of_the_tasks_own_stays_what_it_is() -> None:
    @time_limit(LONG)
    async def work() -> None:
        await asyncio.wait_for(asyncio.sleep(LONG), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(work())
