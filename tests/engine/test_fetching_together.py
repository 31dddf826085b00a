"""Workers that fetch at the same time, each on a connection of its own."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from asgiref.sync import async_to_sync

from joblogs.engine import queries
from tests.engine.manager import manager
from tests.engine.model import row_of
from tests.processes import database_url
from tests.sql import execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    Add = Callable[..., int]

pytestmark = pytest.mark.django_db(transaction=True)


def fetch_on(
    connection: psycopg.Connection,
    worker: int,
    *,
    starts: int = 100,
    served: list[str] | None = None,
) -> list[int]:
    """Fetch on this connection; return the ids of the jobs."""
    given: dict[str, Any] = {"queues": served, "batch_tasks": [], "batch_sizes": []}
    cursor = connection.execute(
        queries.FETCH_JOBS, given | {"worker_id": worker, "starts": starts}, prepare=False
    )
    place = [column.name for column in cursor.description or ()].index("id")
    return [row[place] for row in cursor]


def test_workers_that_fetch_at_the_same_time_share_the_jobs(
    add: Add, add_many: Callable[[str], None], in_threads: Callable[..., list[BaseException | None]]
) -> None:
    add_many("SELECT NULL, number % 3, 'default' FROM generate_series(1, 400) AS number")
    add_many("SELECT 'x' || number % 40, 1, 'default' FROM generate_series(1, 200) AS number")
    taken: list[int] = []
    deadline = time.monotonic() + 60

    def work() -> None:
        worker = async_to_sync(manager().register_worker)()
        row = {"attempts": 0, "status": "succeeded", "delete": False, "task": "one", "queue": "q"}
        row |= {"started_at": 0, "finished_at": 0, "outcome": "succeeded"}
        with closing(psycopg.connect(database_url(), autocommit=True)) as connection:
            # A fetch may find nothing because another worker has all first jobs of the locks.
            while len(taken) < 600:
                assert time.monotonic() < deadline, len(taken)
                ids = fetch_on(connection, worker, starts=7)
                assert len(ids) <= 7
                taken.extend(ids)
                rows = json.dumps(dict.fromkeys(ids, row))
                given = {"worker_id": worker, "worker": "it", "attempts": rows}
                assert connection.execute(queries.FINISH_JOBS, given).fetchall() == []

    assert in_threads(work, work, work) == [None] * 3
    assert len(taken) == len(set(taken)) == 600
    assert execute("SELECT status, attempts, count(*) FROM procrastinate_jobs GROUP BY 1, 2") == [
        ("succeeded", 1, 600)
    ]
    # Of each lock in their order, whoever ran them.
    assert (
        execute(
            """
            SELECT later.id
              FROM procrastinate_jobs AS earlier
              JOIN procrastinate_jobs AS later
                ON later.lock = earlier.lock
               AND later.id > earlier.id
              JOIN procrastinate_events AS ended
                ON ended.job_id = earlier.id
               AND ended.type = 'succeeded'
              JOIN procrastinate_events AS started
                ON started.job_id = later.id
               AND started.type = 'started'
             WHERE started.id < ended.id
            """
        )
        == []
    )


@pytest.mark.parametrize("ending", ["commits", "rolls back"])
def test_a_lock_taken_meanwhile_costs_a_fetch_that_job_alone(
    add: Add,
    connect: Callable[[], psycopg.Connection],
    in_threads: Callable[..., list[BaseException | None]],
    ending: str,
) -> None:
    first, second = (async_to_sync(manager().register_worker)() for _ in range(2))
    one, other = connect(), connect()
    under_way = add(lock="x")
    assert fetch_on(one, first) == [under_way]
    # To others, who do not see that yet, this is the first job of the lock now.
    overtaking = add(lock="x", priority=9)
    free = [add(), add(lock="y"), add(lock="z", priority=10)]
    found: list[int] = []

    def fetch_too() -> None:
        found.extend(fetch_on(other, second))
        other.commit()

    def decide() -> None:
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND pid = %s"
        try:
            wait_for(lambda: execute(waiting, other.info.backend_pid))
        finally:
            one.commit() if ending == "commits" else one.rollback()

    assert in_threads(fetch_too, decide) == [None, None]
    overtakes = [] if ending == "commits" else [overtaking]
    assert sorted(found) == sorted([*free, *overtakes])
    # Nor is anything left over that would run beside it.
    assert fetch_on(other, second) == []


@pytest.mark.parametrize("lock", [None, "x"], ids=["no lock", "a lock"])
@pytest.mark.parametrize(
    "change",
    [
        {"retry_at": time.time() + 3_600},
        {"retry_at": 0, "to_queue": "low"},
        {"retry_at": 0, "lock": "held"},
        {"retry_at": 0, "lock": "queued"},
    ],
    ids=["put off", "in a queue of others", "behind one that runs", "behind one that waits"],
)
def test_a_fetch_leaves_what_another_worker_took_and_changed(
    add: Add,
    connect: Callable[[], psycopg.Connection],
    in_threads: Callable[..., list[BaseException | None]],
    lock: str | None,
    change: dict[str, object],
) -> None:
    quick, slow = (async_to_sync(manager().register_worker)() for _ in range(2))
    one, other = connect(), connect()
    holder = add(lock="held")
    assert fetch_on(one, quick) == [holder]
    one.commit()
    add(lock="queued", queue="low")
    wanted = add(lock=lock)
    # Others can look for jobs, and take none.
    one.execute("LOCK TABLE procrastinate_jobs IN EXCLUSIVE MODE")
    found: list[int] = []

    def fetch_slowly() -> None:
        found.extend(fetch_on(other, slow, served=["default"]))
        other.commit()

    def take_and_give_back() -> None:
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND pid = %s"
        try:
            wait_for(lambda: execute(waiting, other.info.backend_pid))
            assert fetch_on(one, quick, served=["default"]) == [wanted]
            row = row_of(0, "one", "default", "failed", status="todo", started_at=0) | change
            given = {"worker_id": quick, "worker": "it", "attempts": json.dumps({wanted: row})}
            assert one.execute(queries.FINISH_JOBS, given).fetchall() == []
        finally:
            one.commit()

    assert in_threads(fetch_slowly, take_and_give_back) == [None, None]
    assert found == []


def test_who_loses_jobs_to_another_starts_no_more_than_asked(
    add: Add, worker: int, connect: Callable[[], psycopg.Connection]
) -> None:
    jobs = [add() for _ in range(12)]
    other, mine = connect(), connect()
    with other.transaction():
        other.execute("SELECT FROM procrastinate_jobs WHERE id = ANY(%s) FOR UPDATE", [jobs[1:3]])
        assert fetch_on(mine, worker, starts=4) == [jobs[0], *jobs[3:6]]
