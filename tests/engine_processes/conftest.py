"""Workers in processes of their own, which know the tasks of this folder."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.engine_processes.gate import Gate
from tests.engine_processes.listener import Listener
from tests.engine_processes.sessions import count_listening
from tests.processes import Process, database_url
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import RESCUES_SOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_thread_is_left(transactional_db: None) -> Iterator[None]:
    """Let the thread that sends notices end before the database is emptied, or dropped."""
    yield
    wait_for(lambda: all(thread.name != "joblogs-waker" for thread in threading.enumerate()))


@pytest.fixture(autouse=True)
def _table_of_effects(transactional_db: None) -> Iterator[None]:
    execute(
        "CREATE TABLE effects (number integer, at timestamptz DEFAULT clock_timestamp(),"
        " backend integer DEFAULT pg_backend_pid())"
    )
    yield
    execute("DROP TABLE effects")


@pytest.fixture
def start(_table_of_effects: None, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a worker, and wait until it listens; `url` and others are those of Process."""
    workers: list[Process] = []

    def start_worker(*flags: str, url: str = "", **variables: str) -> Process:
        variables["DJANGO_SETTINGS_MODULE"] = "tests.engine_processes.settings"
        command = ("manage.py", "procrastinate", "worker", *flags)
        log = tmp_path / f"worker-{len(workers)}.log"
        # A fleet starts its workers by its own command line.
        forked = "--processes" not in flags
        listening = count_listening()
        worker = Process(*command, url=url or database_url(), log=log, forked=forked, **variables)
        workers.append(worker)
        if url or "--no-listen-notify" in flags:
            wait_for(lambda: "Starting worker" in worker.log or worker.has_ended)
        else:
            wait_for(lambda: count_listening() > listening or worker.has_ended)
        assert not worker.has_ended, worker.log
        return worker

    yield start_worker
    for worker in workers:
        worker.stop()


@pytest.fixture
def gate(start: Callable[..., Process]) -> Iterator[Gate]:
    """A gate that is opened before the workers are stopped, which may wait at it."""
    gate = Gate()
    yield gate
    gate.end()


@pytest.fixture
def rescue(start: Callable[..., Process]) -> Callable[..., Process]:
    """Give back the jobs of dead workers, by a new worker with these flags that does so soon."""

    def by_a_new_worker(*flags: str) -> Process:
        return start(*RESCUES_SOON, *flags)

    return by_a_new_worker


@pytest.fixture
def listener(_table_of_effects: None) -> Iterator[Listener]:
    with Listener("default", "low", "high") as listener:
        yield listener
