"""Jobs of tasks that nobody has, and workers that are rows, for what happens in the database."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from procrastinate.contrib.django import app

from tests.engine.manager import job_ids, manager
from tests.engine.rescues import Given, rescue_on
from tests.processes import database_url
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# So that its assertions tell what they have seen.
pytest.register_assert_rewrite("tests.engine.machine", "tests.engine.people")


@pytest.fixture
def add(db: None) -> Callable[..., int]:
    """Defer a job and return its id: add("mail", queue="low", lock="x", priority=1, ...)."""

    def defer(task: str = "one", **options: Any) -> int:
        return app.configure_task(task, allow_unknown=True, **options).defer()

    return defer


@pytest.fixture
def add_many(db: None) -> Callable[..., None]:
    """Insert jobs, as many as the SQL query has rows of a lock, a priority and a queue."""

    def insert(query: str) -> None:
        execute(
            "INSERT INTO procrastinate_jobs (task_name, lock, priority, queue_name)"  # noqa: S608  # our own
            f" SELECT 'one', * FROM ({query}) AS job"
        )

    return insert


@pytest.fixture
def worker(db: None) -> int:
    """The id of a worker."""
    return async_to_sync(manager().register_worker)()


@pytest.fixture
def fetch(worker: int) -> Callable[..., list[list[int]]]:
    """Fetch for the worker and return the ids of each start's jobs: fetch(starts=2, mail=10)."""

    def call(
        *queues: str, starts: int = 100, batches: dict[str, int] | None = None
    ) -> list[list[int]]:
        return job_ids(
            async_to_sync(manager().fetch_jobs)(
                queues or None, worker, starts=starts, batch_sizes=batches or {}
            )
        )

    return call


@pytest.fixture
def end(worker: int) -> Callable[..., None]:
    """End first attempts of jobs that the worker fetched."""

    def call(*ids: int, **more: Any) -> None:
        now = time.time()
        row: dict[str, Any] = {
            "attempts": 0,
            "status": "succeeded",
            "delete": False,
            "task": "one",
            "queue": "default",
            "started_at": now,
            "finished_at": now,
            "outcome": "succeeded",
            **more,
        }
        verdicts = async_to_sync(manager().finish_attempts)(worker, "it", dict.fromkeys(ids, row))
        assert verdicts == {}

    return call


@pytest.fixture
def connect(transactional_db: None) -> Iterator[Callable[[], psycopg.Connection]]:
    """Open connections of one's own, to be in several transactions at a time."""
    opened: list[psycopg.Connection] = []

    def call() -> psycopg.Connection:
        opened.append(psycopg.connect(database_url()))
        return opened[-1]

    yield call
    for each in opened:
        each.close()


@pytest.fixture
def rescue(transactional_db: None) -> Callable[..., list[Given]]:
    """Rescue and commit, on a connection of its own."""

    def call(*orphans: tuple[int, int], **options: int) -> list[Given]:
        # It waits for nobody; one that does fails, instead of waiting for its own test.
        session = psycopg.connect(database_url(), autocommit=True, options="-c lock_timeout=5s")
        with closing(session) as connection:
            return rescue_on(connection, *orphans, **options)

    return call
