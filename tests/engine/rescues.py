"""Rescues of jobs whose workers died, as PostgreSQL does them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from joblogs.models import Job
from tests.sql import execute

if TYPE_CHECKING:
    import psycopg

RESCUE = "SELECT worker, jobs, ended FROM joblogs_rescue_jobs_v1(20, %s, %s, %s, %s)"


class Given(NamedTuple):
    """What was given back of one worker (None: of nobody), and which of its jobs ended instead."""

    worker: str | None
    jobs: int
    ended: list[int]


def rescue_on(
    connection: psycopg.Connection, *orphans: tuple[int, int], at_most: int = 1_000, deaths: int = 3
) -> list[Given]:
    """Rescue in this connection's transaction; an orphan is an id and a count of attempts."""
    ids, attempts = [pk for pk, _ in orphans], [count for _, count in orphans]
    return [Given(*row) for row in connection.execute(RESCUE, (deaths, ids, attempts, at_most))]


def tell(worker: int, *, seconds_ago: float) -> None:
    """Write what a worker tells of itself, and when it did."""
    execute(
        "INSERT INTO job_workers (worker_id, name, host, pid, concurrency, running, version,"
        "   state, memory, holds_lock, started_at, seen_at)"
        " SELECT %s, 'worker', 'there', 42, 1, 0, '1', 'running', 1, true, at, at"
        "   FROM (SELECT now() - make_interval(secs => %s) AS at) AS seen",
        *(worker, seconds_ago),
    )


def standings(*jobs: int) -> list[tuple[str, int]]:
    """Return the status and the count of attempts of each of these jobs."""
    rows = Job.objects.in_bulk(jobs)
    return [(rows[job].status, rows[job].attempts) for job in jobs]
