"""How long a fetch takes among very many jobs that are not to be fetched."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from procrastinate.sql import queries as stock_queries

from joblogs.benchmark.report import Case, at_most
from joblogs.benchmark.server import BenchmarkError
from joblogs.engine import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblogs.benchmark.report import Report
    from joblogs.benchmark.sides import Side

    Sides = tuple[Side, Side]
    Say = Callable[[str], None]
    Session = psycopg.Connection[tuple[Any, ...]]

# What a worker with -c 10 asks for. Stock always fetches one.
STARTS = 10
QUEUE = "default"
# No round of stock's goes on for longer once it has three fetches, and no fetch of stock's longer.
STOCK_ROUND = 15.0  # seconds
STOCK_FETCH = 60  # seconds
LEAST = 3


@dataclass(frozen=True)
class Fill:
    """Jobs of one kind, as fill_jobs.sql makes them."""

    number: int
    queue: str = "elsewhere"
    queues: int = 1
    status: str = "todo"
    later: bool = False
    lock: str | None = None
    locks: bool = False


@dataclass(frozen=True)
class Backlog:
    """What is in the table, and for which queues (all, when None) a worker asks."""

    name: str
    fills: tuple[Fill, ...]
    queues: Sequence[str] | None = (QUEUE,)
    #: What is put in anew for each fetch.
    fresh: Fill = Fill(STARTS, queue=QUEUE)


def backlogs(jobs: int, finished: int) -> list[Backlog]:
    """Return the cases, for so many jobs; some have a tenth of them."""
    tenth = max(jobs // 10, 1)
    spread = Fill(tenth, queue="queue", queues=1000)
    all_queues = (QUEUE, *(f"queue{number}" for number in range(1000)))
    elsewhere, later = Fill(jobs), Fill(jobs, queue=QUEUE, later=True)
    return [
        Backlog(f"(a) {jobs:,} ready in other queues", (elsewhere,)),
        Backlog(f"(b) {jobs:,} scheduled for later", (later,)),
        Backlog(f"(c) {finished:,} finished", (Fill(finished, queue=QUEUE, status="succeeded"),)),
        Backlog(
            f"(d) {tenth:,} behind one held lock",
            (
                Fill(1, queue=QUEUE, status="doing", lock="held"),
                Fill(tenth, queue=QUEUE, lock="held"),
            ),
        ),
        Backlog("(e) no queue filter, with (a) and (b)", (elsewhere, later), None),
        Backlog(
            f"(f) {tenth:,} with a lock each",
            (Fill(tenth, queue=QUEUE, lock="own", locks=True),),
            fresh=Fill(STARTS, queue=QUEUE, lock="own", locks=True),
        ),
        Backlog(f"(g) {tenth:,} in 1,000 queues, one asked for", (spread,)),
        Backlog(f"(g) {tenth:,} in 1,000 queues, no queue filter", (spread,), None),
        Backlog(f"(g) {tenth:,} in 1,000 queues, all asked for", (spread,), all_queues),
    ]


def run(
    sides: Sides,
    report: Report,
    say: Say,
    *,
    jobs: int,
    finished: int,
    samples: int,
    repeat: int,
) -> None:
    """Fetch beside each backlog, and by turns from a table that holds nothing else."""
    with ExitStack() as stack:
        # Copies of databases that are still empty.
        small = {
            side.name: replace(
                side,
                database=stack.enter_context(
                    side.server.database(f"{side.database}_small", side.database)
                ),
            )
            for side in sides
        }
        for backlog in backlogs(jobs, finished):
            if not report.wants(backlog.name):
                continue
            for side in sides:
                say(f"{backlog.name}: filling {side.name}")
                small[side.name].empty()
                _fill(side, backlog)
            #: For each side the medians beside the backlog, and without it.
            medians: dict[str, tuple[list[float], list[float]]] = {
                side.name: ([], []) for side in sides
            }
            for turn in range(repeat):
                for side in sides:
                    say(f"{backlog.name}: {side.name}, {turn + 1} of {repeat}")
                    pair = _fetch_by_turns(side, small[side.name], backlog, samples)
                    for values, median in zip(medians[side.name], pair, strict=True):
                        values.append(median)
            stock, joblogs = (medians[side.name] for side in sides)
            report.cases.append(
                Case(
                    backlog.name,
                    "ms",
                    stock[0],
                    joblogs[0],
                    at_most(2),
                    against=joblogs[1],
                    stock_against=stock[1],
                )
            )
    report.notes += [
        "p50 of a fetch; ratio: by that of the same fetch, by turns, from a table without them.",
        f"A fetch of ours takes {STARTS} jobs, one of stock's takes one.",
        f"Stock has {STOCK_ROUND:.0f} s a round, {LEAST} fetches at least, {STOCK_FETCH} s each.",
    ]


def _fill(side: Side, backlog: Backlog) -> None:
    side.empty()
    for fill in backlog.fills:
        side.fill("fill_jobs.sql", quietly=True, **vars(fill))
    with side.connect() as session:
        session.execute("VACUUM ANALYZE procrastinate_jobs")


def _fetch_by_turns(side: Side, small: Side, backlog: Backlog, samples: int) -> tuple[float, float]:
    """Return the median milliseconds of a fetch beside the backlog, and of one without."""
    deadline = time.monotonic() + STOCK_ROUND
    beside, without = _Fetcher(side, backlog), _Fetcher(small, backlog)
    with beside, without:
        for fetcher in (without, beside):
            fetcher.fetch()  # plans and caches
        times: tuple[list[float], list[float]] = ([], [])
        for sample in range(samples):
            if side.name == "stock" and sample >= LEAST and time.monotonic() > deadline:
                break
            times[0].append(beside.fetch())
            times[1].append(without.fetch())
    return statistics.median(times[0]), statistics.median(times[1])


class _Fetcher:
    """A session that fetches as a worker of its side does."""

    def __init__(self, side: Side, backlog: Backlog) -> None:
        self.side = side
        queues = list(backlog.queues) if backlog.queues else None
        self.given: dict[str, Any] = {"queues": queues}
        self.fresh = backlog.fresh
        if side.name == "stock":
            self.query = stock_queries["fetch_job"]
            self.fresh = replace(backlog.fresh, number=1)
        else:
            self.query = queries.FETCH_JOBS
            self.given |= {"starts": STARTS, "batch_tasks": [], "batch_sizes": []}

    def __enter__(self) -> None:
        self.session = self.side.connect()
        new_worker = "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id"
        [(self.given["worker_id"],)] = self.session.execute(new_worker).fetchall()
        if self.side.name == "stock":
            self.session.execute(f"SET statement_timeout = '{STOCK_FETCH}s'".encode())

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def fetch(self) -> float:
        """Put jobs in, and take as many: return the milliseconds of the taking."""
        self.side.fill("fill_jobs.sql", **vars(self.fresh))
        started = time.perf_counter()
        try:
            rows = self.session.execute(self.query.encode(), self.given).fetchall()
        except psycopg.errors.QueryCanceled:
            return STOCK_FETCH * 1000.0
        taken = (time.perf_counter() - started) * 1000
        if len(rows) != self.fresh.number:
            raise BenchmarkError(f"{self.side.name}: a fetch took {len(rows)} jobs.")
        with self.side.connect() as session:
            position = 0 if self.side.name == "stock" else 1
            ids = [row[position] for row in rows]
            session.execute("DELETE FROM procrastinate_jobs WHERE id = ANY (%s)", [ids])
        return taken
