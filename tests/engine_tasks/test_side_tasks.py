"""What a worker does beside its jobs goes on, whatever it fails with."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException
from psycopg import OperationalError

from joblogs.engine import beside
from joblogs.engine.beside import SideTasks
from joblogs.engine.contact import Contact
from joblogs.models import JobWorker
from tests.jobs import outcomes
from tests.sql import elsewhere

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from procrastinate import JobContext

MOVE = "ALTER FUNCTION joblogs_heartbeat_v1 RENAME TO moved_away"
MOVE_BACK = "ALTER FUNCTION moved_away RENAME TO joblogs_heartbeat_v1"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "PAUSE", 0.01)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """Return the errors that were told of."""
    caplog.set_level(logging.INFO)
    return lambda: [record for record in caplog.records if record.levelno >= logging.ERROR]


class Work:
    """Counts its calls, and raises an error at each of the first ones, or at all."""

    def __init__(self, error: BaseException, failures: float = float("inf")) -> None:
        self.calls = 0
        self._error = error
        self._failures = failures

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        await asyncio.Event().wait()


def beside_each_other(test: Callable[[SideTasks], Coroutine[Any, Any, None]]) -> None:
    """Run a test with side tasks, which are ended after it."""

    async def run() -> None:
        tasks = SideTasks(Contact("It cannot be used", "It can be used again"))
        async with asyncio.timeout(20):
            await test(tasks)
            await tasks.end()

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # what tests wait for is not told by an event
        await asyncio.sleep(0.005)


def test_what_fails_once_is_run_again(told: Callable[[], list[logging.LogRecord]]) -> None:
    async def test(tasks: SideTasks) -> None:
        work = Work(ValueError("once"), failures=1)
        tasks.add("The work", work)
        await until(lambda: work.calls == 2)

    beside_each_other(test)
    [record] = told()
    assert record.getMessage() == "The work failed, and is tried again every second."
    assert record.exc_info
    assert str(record.exc_info[1]) == "once"


@pytest.mark.parametrize(
    "error",
    [ValueError("always"), ConnectorException("always"), asyncio.CancelledError()],
    ids=repr,
)
def test_what_always_fails_is_run_again_and_again_and_told_once(
    told: Callable[[], list[logging.LogRecord]], error: BaseException
) -> None:
    async def test(tasks: SideTasks) -> None:
        bad, good = Work(error), Work(ValueError("once"), failures=1)
        tasks.add("Bad work", bad)
        tasks.add("Good work", good)
        await until(lambda: bad.calls > 5 and good.calls == 2)

    beside_each_other(test)
    lines = sorted(record.getMessage().split(",")[0] for record in told())
    assert lines == ["Bad work failed", "Good work failed"]


def test_what_fails_again_after_it_went_well_is_told_again(
    told: Callable[[], list[logging.LogRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "WELL", -1.0)

    async def test(tasks: SideTasks) -> None:
        work = Work(ValueError(), failures=3)
        tasks.add("The work", work)
        await until(lambda: work.calls == 4)

    beside_each_other(test)
    assert len(told()) == 3


def test_an_outage_of_the_database_is_waited_for_and_no_failure(
    told: Callable[[], list[logging.LogRecord]],
) -> None:
    error = ConnectorException("Database error.")
    error.__cause__ = OperationalError("connection refused")

    async def test(tasks: SideTasks) -> None:
        work = Work(error, failures=3)
        tasks.add("The work", work)
        await until(lambda: work.calls == 4)

    beside_each_other(test)
    assert told() == []


def test_what_ends_by_itself_is_left_ended() -> None:
    calls: list[None] = []

    async def end() -> None:
        calls.append(None)

    async def test(tasks: SideTasks) -> None:
        other = Work(ValueError("another"))
        await tasks.add("The work", end)
        tasks.add("Other work", other)
        await until(lambda: other.calls > 5)

    beside_each_other(test)
    assert len(calls) == 1


@pytest.mark.parametrize("failures", [0, float("inf")], ids=["at work", "failing"])
def test_who_cancels_one_ends_that_one_and_the_end_ends_all(failures: float) -> None:
    async def test(tasks: SideTasks) -> None:
        first, second = (Work(ValueError("no"), failures=failures) for _ in range(2))
        cancelled = tasks.add("The first", first)
        other = tasks.add("The second", second)
        await until(lambda: first.calls and second.calls)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        assert not other.done()
        await tasks.end()
        assert other.cancelled()

    beside_each_other(test)


@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_heartbeat_fails_works_and_beats_again(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    told: Callable[[], list[logging.LogRecord]],
) -> None:
    working = task(lambda: None)
    is_moved = False
    jobs: list[int] = []

    def until() -> bool:
        nonlocal is_moved
        if not jobs and JobWorker.objects.exists():
            elsewhere(MOVE)
            is_moved = True
            jobs.append(working.defer())
        if is_moved and told() and outcomes(jobs[0]):
            elsewhere("UPDATE job_workers SET seen_at = 'epoch'")
            elsewhere(MOVE_BACK)
            is_moved = False
        return bool(jobs) and not is_moved and JobWorker.objects.get().is_alive

    try:
        run_worker(until, update_heartbeat_interval=0.05)
    finally:
        if is_moved:
            elsewhere(MOVE_BACK)
    [record] = told()
    assert record.getMessage().startswith("The heartbeat failed")
    assert record.exc_info


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_cannot_handle_notices_works_and_stops(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    told: Callable[[], list[logging.LogRecord]],
) -> None:
    def listen(*_: object, **__: object) -> Awaitable[None]:
        raise RuntimeError("no ears")

    monkeypatch.setattr(app.job_manager, "listen_for_jobs", listen)
    job = task(lambda: None).defer()
    run_worker(lambda: outcomes(job) and told(), fetch_job_polling_interval=0.1)
    [record] = told()
    assert record.getMessage().startswith("Listening failed")


@pytest.mark.django_db(transaction=True)
def test_a_worker_defers_periodic_tasks_at_their_times_and_does_them(
    task: Callable[..., Any], run_worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.periodic_defaults, "max_delay", 60)
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})
    done: list[int] = []
    every_second = task(lambda timestamp: done.append(timestamp))
    app.periodic(cron="* * * * * *")(every_second)
    run_worker(lambda: len(done) >= 3)
    assert done == [done[0] + number for number in range(len(done))]


@pytest.mark.django_db(transaction=True)
def test_a_worker_without_periodic_tasks_takes_jobs(
    task: Callable[..., Any], run_worker: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})
    seen: list[JobContext] = []
    working = task(lambda _: seen.append(_), pass_context=True)
    jobs: list[int] = []

    def until() -> bool:
        # One after the other, so that it had time to end in between.
        if all(outcomes(job) for job in jobs) and len(jobs) < 3:
            jobs.append(working.defer())
        return len(seen) == 3

    run_worker(until, fetch_job_polling_interval=0.1)
