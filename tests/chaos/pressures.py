"""What weighs on PostgreSQL or on the workers while all of them work.

Each pressure returns when it is over, after as many seconds as it is told.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg

from tests.chaos.server import query_of
from tests.chaos.stage import CONCURRENCY, WORKERS
from tests.chaos.tasks import SLOW
from tests.chaos.troubles import lasting

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

# How many jobs come and go while no row of theirs can be vacuumed, and how many at a time.
CHURN, AT_A_TIME = 50_000, 5_000
READERS = 4
#: Finished jobs for readers to read.
HISTORY = 200_000
#: Slow jobs that the slots of all workers can do in a second.
CAPACITY = WORKERS * CONCURRENCY / SLOW


def pin(stage: Stage, seconds: float) -> None:
    """Keep an idle transaction open, so that nothing is vacuumed, while many jobs come and go."""
    with psycopg.connect(stage.server.url(stage.database, name="idle")) as idle:
        idle.execute("SELECT pg_current_xact_id()")
        rounds = CHURN // AT_A_TIME
        for _ in lasting(seconds, every=seconds / rounds):
            come_and_go(stage, AT_A_TIME)


def come_and_go(stage: Stage, jobs: int) -> None:
    with stage.server.connect(stage.database) as session, psycopg.ClientCursor(session) as cursor:
        cursor.execute(query_of("churn"), {"jobs": jobs})


def add_history(stage: Stage) -> None:
    come_and_go(stage, HISTORY)
    stage.rows("VACUUM ANALYZE procrastinate_jobs")


def read(stage: Stage, seconds: float) -> None:
    """Scan the tables of jobs and logs from several sessions, which overlap."""
    ends = time.monotonic() + seconds

    def scan() -> None:
        while time.monotonic() < ends:
            # Its session may be ended by another trouble.
            with (
                suppress(psycopg.OperationalError),
                psycopg.connect(stage.server.url(stage.database, name="reader")) as reader,
            ):
                reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                for _ in lasting(min(2.0, max(ends - time.monotonic(), 0)), every=0.3):
                    reader.execute(query_of("scan"))

    readers = [threading.Thread(target=scan, name="reader") for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()


def overload(stage: Stage, seconds: float) -> None:
    """Defer half as many slow jobs again as the workers can do, then half as many as they can."""
    stage.create_users(1.5 * CAPACITY)
    time.sleep(seconds)
    stage.create_users(0.5 * CAPACITY)


def crowd_in(stage: Stage, seconds: float) -> None:
    """Have twice as many users created as at other times."""
    rate = stage.rate
    stage.create_users(2 * rate)
    time.sleep(seconds)
    stage.create_users(rate)


def step_clock(stage: Stage, seconds: float) -> None:
    """Make heartbeats look an hour old, or yet to come, again and again, amid running jobs.

    That is what they are when PostgreSQL's clock jumps forward, or back. The clock itself is the
    machine's, so it is what was written by it before that moves. Another worker starts meanwhile:
    those look for dead ones.
    """
    newcomer = stage.start_worker(WORKERS)
    try:
        for number, _ in enumerate(lasting(seconds, every=1.0)):
            hours = 1 if number % 4 == 3 else -1
            stage.rows(query_of("step_clock"), hours, hours)
    finally:
        stage.stop(newcomer)
