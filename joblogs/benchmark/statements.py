"""Counting the statements that other sessions of a database send, as Postgres sees them."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblogs.benchmark.sides import Side

# As log_statement=all writes them; nobody else's database has it on.
LOGGED = re.compile(rb" LOG:  (?:statement|execute [^:]*): ")


@contextmanager
def logged(side: Side) -> Iterator[bool]:
    """Let sessions to come log their statements; tells whether that works and can be read."""
    if side.server.log is None:
        yield False
        return
    try:
        side.server.set(side.database, log_statement="all")
    except psycopg.errors.InsufficientPrivilege:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(psycopg.Error):
            side.server.reset(side.database, "log_statement")


def per_second(side: Side, seconds: float, *, from_log: bool) -> float:
    """Watch for so many seconds; return how many statements a second other sessions sent.

    From the server's log that is exact. From pg_stat_activity, looked at every other millisecond,
    it is at least so many: of two in quick succession on one connection it shows the latter.
    """
    if from_log and side.server.log:
        before = side.server.log.stat().st_size
        time.sleep(seconds)
        with side.server.log.open("rb") as log:
            log.seek(before)
            return len(LOGGED.findall(log.read())) / seconds
    look = (
        "SELECT pid, query_start FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with side.connect() as session:
        known = set(session.execute(look))
        at_first = len(known)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            known.update(session.execute(look))
            time.sleep(0.002)
    return (len(known) - at_first) / seconds
