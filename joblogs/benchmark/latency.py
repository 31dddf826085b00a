"""How soon a job runs: one that is ready, and one whose time comes; and what waiting costs."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from joblogs.benchmark.pairing import by_turns
from joblogs.benchmark.report import Case, at_most, ours_at_most
from joblogs.benchmark.server import BenchmarkError
from joblogs.benchmark.statements import logged, per_second

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from joblogs.benchmark.report import Report
    from joblogs.benchmark.sides import Side, Worker

    Sides = tuple[Side, Side]
    Say = Callable[[str], None]

COMMIT_TO_LOG = "from a user's commit to its log"
LATENESS = "lateness of a scheduled job"
IDLE = "queries of an idle worker"
CONCURRENCY = 10
# Users whose jobs make the worker connect, and who do not count.
WARM_UP = 5
# One scheduled job for so many users, one after the other on average in so many seconds.
SCHEDULED = 4
APART = 0.25
LATE = """
    SELECT extract(epoch FROM min(event.at) - job.scheduled_at)::float8 * 1000
      FROM procrastinate_jobs AS job
      JOIN procrastinate_events AS event ON event.job_id = job.id AND event.type = 'started'
     WHERE job.task_name = 'benchmark.nothing'
     GROUP BY job.id
"""


def run(
    sides: Sides, report: Report, say: Say, *, jobs: int, idle_seconds: int, repeat: int
) -> None:
    """Create users one at a time beside an idle worker; schedule jobs; then do nothing."""

    def see_logs(side: Side) -> list[float]:
        with _idle_worker(side) as worker:
            worker.wait_until_ready()
            latencies: list[float] = side.do("see_logs", WARM_UP + jobs)
        return latencies[WARM_UP:]

    def lateness(side: Side) -> list[float]:
        return _lateness(side, max(jobs // SCHEDULED, 5))

    for name, measure, targets in (
        (COMMIT_TO_LOG, see_logs, {50: at_most(0.65), 99: at_most(1)}),
        (LATENESS, lateness, {50: None, 99: ours_at_most(50)}),
    ):
        if report.wants(name):
            stock, joblogs = by_turns(sides, measure, repeat=repeat, name=name, say=say)
            report.cases += [
                Case(
                    f"{name}, p{percent}",
                    "ms",
                    [percentile(values, percent) for values in stock],
                    [percentile(values, percent) for values in joblogs],
                    target,
                )
                for percent, target in targets.items()
            ]
    if report.wants(IDLE):
        _idle(sides, report, say, idle_seconds)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def _idle_worker(side: Side) -> AbstractContextManager[Worker]:
    side.empty()
    return side.worker(CONCURRENCY)


def _lateness(side: Side, number: int) -> list[float]:
    seconds = number * APART
    with _idle_worker(side) as worker:
        worker.wait_until_ready()
        side.do("schedule", number, seconds)
        deadline = time.monotonic() + seconds + 30
        with side.connect() as session:
            while len(rows := session.execute(LATE).fetchall()) < number:
                worker.see_it_alive()
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{side.name}: scheduled jobs do not start.")
                time.sleep(0.2)
    return [row[0] for row in rows]


def _idle(sides: Sides, report: Report, say: Say, seconds: int) -> None:
    rates: tuple[list[float], list[float]] = ([], [])
    exact = True
    for side, measured in zip(sides, rates, strict=True):
        say(f"{IDLE}: {side.name}, {seconds} s")
        with logged(side) as from_log, _idle_worker(side) as worker:
            worker.wait_until_ready()
            time.sleep(2)  # what it does at its start is over
            measured.append(per_second(side, seconds, from_log=from_log))
            exact = exact and from_log
    how = "counted in the server's log" if exact else "at least; sampled in pg_stat_activity"
    case = Case(IDLE, "/s", *rates, ours_at_most(1), note=how)
    report.cases.append(case)
