"""Waiting for a database that cannot be used: for how long, and with how many words."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.exceptions import ConnectorException
from psycopg import InterfaceError, OperationalError, ProgrammingError, errors

from joblogs.engine import contact
from joblogs.engine.contact import Contact

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Run = Callable[[Coroutine[Any, Any, None]], None]

LOST, REGAINED = "It cannot be used", "It can be used again"
PASSING = [
    OperationalError("connection refused"),
    InterfaceError("the connection is closed"),
    errors.AdminShutdown("terminating connection"),
    errors.CannotConnectNow("the database system is starting up"),
    errors.TooManyConnections("sorry, too many clients already"),
    errors.DeadlockDetected("deadlock detected"),
    errors.LockNotAvailable("canceling statement due to lock timeout"),
    errors.QueryCanceled("canceling statement due to statement timeout"),
    errors.DiskFull("No space left on device"),
    errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction"),
]
STAYING = [
    errors.UndefinedTable("there is no such relation"),
    errors.InsufficientPrivilege("permission denied"),
    errors.CheckViolation("new row violates check constraint"),
    errors.RaiseException("no"),
    ProgrammingError("no results"),
    None,
]
OUTAGE = OperationalError("connection refused\n\tIs it running?")


def failure(cause: BaseException | None = OUTAGE) -> ConnectorException:
    """Return what Procrastinate makes of an error of psycopg's."""
    error = ConnectorException("Database error.")
    error.__cause__ = cause
    return error


@pytest.fixture
def run() -> Iterator[Run]:
    """Run coroutines, all of them in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what was said."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records if "It can" in record.message]


@pytest.fixture(autouse=True)
def _all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell of what is over in a moment, too."""
    monkeypatch.setattr(contact, "BRIEF", 0)


def test_what_is_over_in_a_moment_is_not_told(
    said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "BRIEF", 60)
    made = Contact(LOST, REGAINED)
    for _ in range(3):
        made.lost(failure())
        made.lost(failure())
        assert made.is_lost
        made.made()
        assert not made.is_lost
    assert said() == []


def test_each_end_is_told_once_however_many_ask(
    run: Run, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "LONGEST", 0.02)
    both = Contact(LOST, REGAINED)

    async def ask() -> None:
        for _ in range(5):
            both.lost(failure())
            await both.wait(failure())

    async def many() -> None:
        await asyncio.gather(*(ask() for _ in range(5)))

    for outages in range(2):
        both.made()
        assert (both.is_lost, len(said())) == (False, 2 * outages)
        run(many())
        assert (both.is_lost, len(said())) == (True, 2 * outages + 1)
        for _ in range(5):
            both.made()
        *_, beginning, end = said()
        assert beginning == f"{LOST}: connection refused Is it running?"
        assert end.startswith(f"{REGAINED}, after 0.")


def test_the_first_waits_are_short_and_none_exceeds_the_longest(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contact, "FIRST", 0.02)
    monkeypatch.setattr(contact, "LONGEST", 0.2)
    made = Contact(LOST, REGAINED)
    made.lost(failure())
    began = time.monotonic()
    waits = []
    while time.monotonic() - began < 1:
        before = time.monotonic()
        run(made.wait(failure()))
        waits.append(time.monotonic() - before)
    assert 0.01 <= waits[0] < 0.1
    # Spread by chance, from a half to the whole of it; and a busy machine.
    assert all(0.1 <= wait < 0.4 for wait in waits[-2:]), waits


def test_waits_are_spread_by_chance(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "FIRST", 1.0)
    random.seed(4)
    made = Contact(LOST, REGAINED)

    async def wait() -> float:
        before = time.monotonic()
        await made.wait(failure())
        return time.monotonic() - before

    async def wait_together() -> None:
        waits.extend(await asyncio.gather(*(wait() for _ in range(20))))

    waits: list[float] = []
    run(wait_together())
    assert max(waits) - min(waits) > 0.25


def test_what_needs_a_contact_is_quiet_while_that_is_lost(
    said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(contact, "BRIEF", 0.3)
    monkeypatch.setattr(contact, "time", SimpleNamespace(monotonic=lambda: now))
    beneath = Contact(LOST, REGAINED)
    above = Contact("It can do nothing", "It can do things again", needs=beneath)
    for _ in range(2):
        beneath.lost(failure())
        above.lost(failure())
        now += 1
    above.made()
    assert len(said()) == 1

    above.lost(failure())
    now += 60
    beneath.made()
    # What failed now may have begun before the other one was there again.
    above.lost(failure())
    assert len(said()) == 2
    now += 1
    above.lost(failure())
    above.made()
    assert [line.split(":")[0].split(",")[0] for line in said()] == [
        LOST,
        REGAINED,
        "It can do nothing",
        "It can do things again",
    ]


def test_the_first_one_who_gets_through_ends_the_waits_of_all(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contact, "FIRST", 600.0)
    monkeypatch.setattr(contact, "LONGEST", 600.0)
    made = Contact(LOST, REGAINED)

    async def many() -> None:
        waiting = [asyncio.create_task(made.wait(failure())) for _ in range(5)]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        made.made()
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)

    for _ in range(2):
        made.lost(failure())
        run(many())


@pytest.mark.parametrize("cause", PASSING, ids=repr)
def test_errors_that_pass_with_time_are_waited_for(
    run: Run, said: Callable[[], list[str]], cause: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "FIRST", 0.01)
    made = Contact(LOST, REGAINED)
    # Whoever asks may have been the only one whom it hit.
    run(made.wait(failure(cause)))
    made.lost(failure(cause))
    run(made.wait(failure(cause)))
    assert said() == [f"{LOST}: {cause}"]


@pytest.mark.parametrize("cause", STAYING, ids=repr)
def test_lasting_errors_are_raised_unless_all_are_waited_for(
    run: Run,
    said: Callable[[], list[str]],
    cause: BaseException | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contact, "FIRST", 0.01)
    error = failure(cause)
    made = Contact(LOST, REGAINED)
    made.lost(error)
    assert not made.is_lost
    with pytest.raises(ConnectorException) as raised:
        run(made.wait(error))
    assert raised.value is error
    assert said() == []

    patient = Contact(LOST, REGAINED, any_error=True)
    patient.lost(error)
    run(patient.wait(error))
    assert said() == [f"{LOST}: {cause or error}"]
