"""How fast one worker process works off what waits; its memory, and how long it takes to stop."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from joblogs.benchmark.pairing import by_turns
from joblogs.benchmark.pgbench import transactions_per_second
from joblogs.benchmark.plain_task import NAME as CREATE_USER_LOG
from joblogs.benchmark.report import Case, at_least, ours_at_most
from joblogs.benchmark.server import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from joblogs.benchmark.report import Report
    from joblogs.benchmark.sides import Side, Worker

    Sides = tuple[Side, Side]
    Say = Callable[[str], None]
    Session = psycopg.Connection[tuple[Any, ...]]

WRITE_LOG, NOTHING = "benchmark.write_log", "benchmark.nothing"
CEILING = "ceiling: pgbench, one job per transaction"
SOAK = "soak"
# Stock does so many fewer jobs in each of its runs: what counts is the rate.
FEWER = 10
# Where stock's best is looked for.
CONCURRENCIES = (1, 10, 50)
CEILING_CLIENTS = 10
# When the memory of a worker is looked at for the first time, and how much it may have grown by the
# end: less than what a leak of 20 bytes a job would make.
SETTLED = 100_000  # jobs
GROWTH = 5  # MB


class Soak(NamedTuple):
    """What a worker was like after very many jobs."""

    settled: float  # MB
    end: float  # MB
    gone: float  # ms until its row is gone
    stop: float  # ms until its process has ended


def run(sides: Sides, report: Report, say: Say, *, jobs: int, soak: int, repeat: int) -> None:
    """Drain create_user_log, a plain task and an asynchronous one; then very many jobs."""
    measured: tuple[list[float], list[float]] = ([], [])
    best = 0
    for concurrency in (10, 50):
        name = f"create_user_log, -c {concurrency}"
        if not report.wants(name):
            continue
        best = best or _best_concurrency(sides[0], say, jobs)

        def drain(side: Side, ours: int = concurrency, best: int = best) -> float:
            its_own = best if side.name == "stock" else ours
            return _drain(side, CREATE_USER_LOG, _jobs(side, jobs), its_own)

        measured = by_turns(sides, drain, repeat=repeat, name=name, say=say)
        note = f"stock at its best, -c {best}"
        report.cases.append(Case(name, "jobs/s", *measured, at_least(10), note=note))
    for name, task, ratio in (
        ("sync ORM task, -c 50", WRITE_LOG, 2),
        ("async no-op, -c 50", NOTHING, 4),
    ):
        if not report.wants(name):
            continue

        def drain_task(side: Side, task: str = task) -> float:
            return _drain(side, task, _jobs(side, jobs), 50)

        rates = by_turns(sides, drain_task, repeat=repeat, name=name, say=say)
        report.cases.append(Case(name, "jobs/s", *rates, at_least(ratio)))
    if report.wants(CEILING):
        pgbench = partial(_ceiling, jobs=jobs)
        ceiling = by_turns(sides, pgbench, repeat=repeat, name=CEILING, say=say)
        note = f"{CEILING_CLIENTS} clients, each a connection"
        report.cases.append(Case(CEILING, "jobs/s", *ceiling, note=note))
        if measured[1]:
            name = "create_user_log, -c 50, by the ceiling"
            report.cases.append(
                Case(name, "jobs/s", *measured, against=ceiling[1], stock_against=ceiling[0])
            )
    report.notes.append(
        "Rates: from the start of the first job, as Procrastinate's events have it, to the moment "
        "when another session sees the last one finished; the same on both sides."
    )
    if soak and report.wants(SOAK):
        _soak_both(sides, report, say, soak)


def _jobs(side: Side, jobs: int) -> int:
    return jobs if side.name == "joblogs" else max(jobs // FEWER, 20)


def _best_concurrency(stock: Side, say: Say, jobs: int) -> int:
    rates = {}
    for concurrency in CONCURRENCIES:
        say(f"create_user_log, looking for stock's best: -c {concurrency}")
        rates[concurrency] = _drain(stock, CREATE_USER_LOG, _jobs(stock, jobs), concurrency)
    return max(rates, key=rates.__getitem__)


def _fill(side: Side, task: str, jobs: int) -> None:
    side.empty()
    if task == CREATE_USER_LOG:
        side.do("create_users", jobs)
    else:
        side.do("defer", task, jobs)
    with side.connect() as session:
        session.execute("ANALYZE")


def _drain(side: Side, task: str, jobs: int, concurrency: int) -> float:
    """Return how many jobs a second a worker does that finds them waiting."""
    _fill(side, task, jobs)
    with side.worker(concurrency) as worker:
        with side.connect() as session:
            _wait_until_done(session, worker, task)
            started = "SELECT extract(epoch FROM clock_timestamp() - min(at))::float8"
            started += " FROM procrastinate_events WHERE type = 'started'"
            seconds = _one(session, started)
            _see_it_right(session, task, jobs)
        worker.stop()
        _see_the_lines(worker, task, jobs)
    return float(jobs / seconds)


def _wait_until_done(session: Session, worker: Worker, task: str, *, rank: int = 0) -> None:
    """Wait until all jobs of a task have ended, or the one of this rank when it is not 0."""
    # Jobs start in the order of their ids. So there is one row to look at until the end is near.
    order = f"OFFSET {rank - 1}" if rank else ""
    direction = "" if rank else "DESC"
    of_task = "SELECT id FROM procrastinate_jobs WHERE task_name = %s"
    last = _one(session, f"{of_task} ORDER BY id {direction} {order} LIMIT 1", task)
    one_waits = "SELECT status IN ('todo', 'doing') FROM procrastinate_jobs WHERE id = %s"
    any_waits = (
        "SELECT EXISTS (SELECT FROM procrastinate_jobs"
        " WHERE status IN ('todo', 'doing') AND task_name = %s)"
    )
    while _one(session, one_waits, last) or (not rank and _one(session, any_waits, task)):
        worker.see_it_alive()
        time.sleep(0.005)


def _see_it_right(session: Session, task: str, jobs: int) -> None:
    """Raise BenchmarkError if fast was not right: each job succeeded and has its log."""
    query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded' AND task_name = %s"
    done = _one(session, query, task)
    logs = jobs if task == NOTHING else _one(session, "SELECT count(*) FROM user_logs")
    if (done, logs) != (jobs, jobs):
        raise BenchmarkError(f"Of {jobs} jobs {done} succeeded and {logs} left a user's log.")


def _see_the_lines(worker: Worker, task: str, jobs: int) -> None:
    with worker.log.open() as log:
        lines = sum(
            (f"{task} job=" in line and " succeeded " in line)
            or (f"Job {task}[" in line and "ended with status: Success" in line)
            for line in log
        )
    if lines < jobs:
        raise BenchmarkError(f"{worker.side.name}: {jobs} jobs left {lines} lines in the log.")


def _ceiling(side: Side, jobs: int) -> float:
    each = max(_jobs(side, jobs) // CEILING_CLIENTS, 1)
    _fill(side, CREATE_USER_LOG, each * CEILING_CLIENTS)
    with side.connect() as session:
        worker = _one(session, "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    transactions_per_second(
        side,
        f"drain_{side.name}.sql",
        clients=CEILING_CLIENTS,
        transactions=each,
        worker=worker,
    )
    # Not pgbench's own rate: a turn that found its job taken did nothing.
    spans = (
        "SELECT count(*) / extract(epoch FROM max(at) - min(at))::float8"
        " FROM procrastinate_events WHERE type = 'succeeded'"
    )
    with side.connect() as session:
        return float(_one(session, spans))


def _soak_both(sides: Sides, report: Report, say: Say, soak: int) -> None:
    stock, joblogs = sides
    say(f"{SOAK}: stock, {soak // FEWER // 10} jobs")
    theirs = _soak(stock, max(soak // FEWER // 10, 20), pretended=soak)
    say(f"{SOAK}: joblogs, {soak} jobs")
    ours = _soak(joblogs, soak, pretended=0)
    settled = _settled(soak)
    report.cases += [
        Case(
            f"memory of a worker after {settled:,} jobs",
            "MB",
            [theirs.end],
            [ours.settled],
            ours_at_most(110),
            note=f"stock: after {max(soak // FEWER // 10, 20):,}",
        ),
        Case(
            f"growth from {settled:,} to {soak:,} jobs",
            "MB",
            [],
            [ours.end - ours.settled],
            ours_at_most(GROWTH),
        ),
        Case(
            f"worker stop after {soak:,} finished jobs",
            "ms",
            [theirs.stop],
            [ours.stop],
            ours_at_most(100),
        ),
        Case("worker stop, until it has signed off", "ms", [theirs.gone], [ours.gone]),
    ]
    report.notes.append(
        "The soak is of async no-ops, -c 50. Stock does a hundredth of them: the others are put "
        "into its table as it would have left them."
    )


def _settled(jobs: int) -> int:
    return max(min(SETTLED, jobs // 4), 1)


def _soak(side: Side, jobs: int, *, pretended: int) -> Soak:
    _fill(side, NOTHING, jobs)
    with side.worker(50) as worker, side.connect() as session:
        _wait_until_done(session, worker, NOTHING, rank=_settled(jobs))
        settled = worker.megabytes()
        _wait_until_done(session, worker, NOTHING)
        if pretended:
            side.fill("fill_finished.sql", number=pretended, queue="default", of_worker=True)
        # Whatever comes right after the last job is over.
        time.sleep(1)
        end = worker.megabytes()
        started = time.perf_counter()
        worker.process.terminate()
        while _one(session, "SELECT count(*) FROM procrastinate_workers"):
            time.sleep(0.001)
        gone = (time.perf_counter() - started) * 1000
        return Soak(settled, end, gone, gone + worker.wait())


def _one(session: Session, query: str, *values: object) -> Any:
    row = session.execute(query.encode(), values).fetchone()
    return row[0] if row else None
