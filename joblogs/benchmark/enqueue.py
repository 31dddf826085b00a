"""How fast users can be created, each with its job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import psycopg

from joblogs.benchmark.pairing import by_turns
from joblogs.benchmark.pgbench import every, transactions_per_second
from joblogs.benchmark.report import Case, at_least
from joblogs.engine.waking import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblogs.benchmark.report import Report
    from joblogs.benchmark.sides import Side

    Say = Callable[[str], None]

CLIENTS = (1, 8, 32)
FAST_DISK = dict(zip(CLIENTS, (0.9, 1.5, 2), strict=True))
SLOW_DISK = dict(zip(CLIENTS, (0.9, 5, 15), strict=True))
WAKE = "wake_joblogs.sql"
PACE = round(LONGEST * 1000)  # ms
# What makes each flush of the log take 5 ms longer, alone or not.
SLOW = {"commit_delay": "5000", "commit_siblings": "0"}


def run(
    sides: tuple[Side, Side], report: Report, say: Say, *, jobs: int, seconds: int, repeat: int
) -> None:
    """Create users by pgbench and by the ORM."""
    _by_pgbench(sides, report, say, FAST_DISK, "", seconds, repeat)
    try:
        for side in sides:
            side.server.set(side.database, **SLOW)
    except psycopg.errors.InsufficientPrivilege:
        report.notes.append("Not measured with a 5 ms disk sync: it takes a superuser.")
    else:
        _by_pgbench(sides, report, say, SLOW_DISK, ", 5 ms disk sync", seconds, repeat)
        for side in sides:
            side.server.reset(side.database, *SLOW)

    def save(side: Side) -> float:
        side.empty()
        rate: float = side.do("save_users", jobs)
        return rate

    name = "user + job by the ORM, 1 client"
    if not report.wants(name):
        return
    stock, joblogs = by_turns(sides, save, repeat=repeat, name=name, say=say)
    report.cases.append(Case(name, "users/s", stock, joblogs, at_least(1)))
    report.notes.append(
        f"A process of Joblogs that is in a burst sends its notices every {PACE} ms, on a "
        'connection of its own: so does pgbench, one such connection for each client. "A notice '
        'for each": one after each transaction on the same connection, as outside of bursts.'
    )


def _by_pgbench(
    sides: tuple[Side, Side],
    report: Report,
    say: Say,
    ratios: dict[int, float],
    disk: str,
    seconds: int,
    repeat: int,
) -> None:
    for clients, ratio in ratios.items():
        name = f"user + job{disk}, {clients} client{'s' if clients > 1 else ''}"
        if not report.wants(name):
            continue

        def create(side: Side, clients: int = clients) -> tuple[float, float]:
            """Return the rates with a notice every now and then, and with one for each job."""
            rate = partial(transactions_per_second, side, clients=clients, seconds=seconds)
            script = f"enqueue_{side.name}.sql"
            side.empty()
            if side.name == "stock":
                # Procrastinate's trigger sees to the notice.
                return (rate(script),) * 2
            with every(PACE, side, WAKE, clients=clients):
                paced = rate(script)
            side.empty()
            return paced, rate(script, WAKE)

        stock, joblogs = by_turns(sides, create, repeat=repeat, name=name, say=say)
        for index, notices in enumerate(("", ", a notice for each")):
            report.cases.append(
                Case(
                    name + notices,
                    "tx/s",
                    [rates[index] for rates in stock],
                    [rates[index] for rates in joblogs],
                    at_least(ratio),
                )
            )
