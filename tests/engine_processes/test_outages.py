"""Workers whose PostgreSQL goes away, or falls silent, and comes back."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from joblogs.engine.sessions import SIGNS_OF_LIFE
from tests.chaos.proxy import Proxy
from tests.chaos.server import FAST, IMMEDIATE, PostgresServer
from tests.engine_processes.gate import KEY
from tests.processes import Process
from tests.waiting import wait_for
from tests.workers import SELDOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

TEMPLATE, NAME = "template_outages", "outages"
OFTEN = ("--heartbeat-interval", "0.5")
IN_NO_TIME = ("--shutdown-graceful-timeout", "0.5")
# A worker that asks for nothing by itself for as long as a test takes.
HARDLY_EVER = (*SELDOM, "--heartbeat-interval", "600", "--abort-job-polling-interval", "600")
# Seconds in which a process has ended whose time is up, and in which jobs are done again when there
# is a database again: a connection that is silent is given up after 4 s, and then looked for again.
SOON = 15.0

# The worker in a process has its lock, which the session that listens takes.
LISTENS = """
    SELECT true
      FROM job_workers AS worker
      JOIN pg_locks AS lock
        ON lock.locktype = 'advisory'
       AND lock.classid::bigint << 32 | lock.objid::bigint
         = joblogs_worker_lock_v1(worker.worker_id)
     WHERE lock.granted
       AND worker.pid = %s
"""

AWAY = "PostgreSQL cannot be used"
# What is told of an outage, and of its end; of sessions only if they are the first to notice.
TOLD = {
    AWAY: "PostgreSQL can be used again",
    "Notices cannot be heard": "Notices are heard again",
    "The worker's lock cannot be held": "The worker's lock is held again",
}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that tests stop, and have to leave running."""
    log = tmp_path_factory.mktemp("outages") / "migrate.log"
    with PostgresServer() as server:
        server.create_database(TEMPLATE)
        url = server.url(TEMPLATE)
        assert Process("manage.py", "migrate", "-v0", url=url, log=log).process.wait(120) == 0
        server.rows(TEMPLATE, "CREATE TABLE effects (number integer)")
        server.rows(TEMPLATE, "ALTER TABLE effects OWNER TO joblogs")
        yield server


class Site:
    """A database on a server, and the workers on it."""

    def __init__(self, server: PostgresServer, start: Callable[..., Process]) -> None:
        self.server = server
        self._start = start

    def start(self, *flags: str, port: int | None = None) -> Process:
        """Start a worker that listens, perhaps by way of a proxy's port."""
        worker = self._start(*flags, url=self.server.url(NAME, port=port))
        wait_for(lambda: self.server.rows(NAME, LISTENS, worker.process.pid))
        return worker

    def defer(self, task: str, **arguments: Any) -> int:
        """Defer a job as somebody else would who has only SQL, and return its id."""
        [(job_id,)] = self.server.rows(
            NAME,
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
            " VALUES ('default', %s, %s) RETURNING id",
            *(f"tests.engine_processes.{task}", json.dumps(arguments)),
        )
        return int(job_id)

    def is_done(self, job_id: int, *, seconds: float = SOON) -> None:
        """Wait until the job has succeeded."""
        query = "SELECT true FROM procrastinate_jobs WHERE id = %s AND status = 'succeeded'"
        wait_for(lambda: self.server.rows(NAME, query, job_id), seconds=seconds)

    def outcomes(self, job_id: int) -> list[tuple[int, str]]:
        query = "SELECT attempt, outcome FROM job_logs WHERE job_id = %s ORDER BY attempt, id"
        return self.server.rows(NAME, query, job_id)

    def effects(self) -> list[int]:
        query = "SELECT number FROM effects ORDER BY number"
        return [number for (number,) in self.server.rows(NAME, query)]

    def closed_gate(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Close the gate at which some tasks stop, until this connection ends."""
        holder = self.server.connect(NAME)
        holder.execute("SELECT pg_advisory_lock(%s)", [KEY])
        return holder

    def wait_for_visitor(self) -> None:
        """Wait until a job waits at the gate."""
        query = "SELECT true FROM pg_locks WHERE objid = %s AND NOT granted"
        wait_for(lambda: self.server.rows(NAME, query, KEY))


@pytest.fixture
def site(server: PostgresServer, start: Callable[..., Process]) -> Iterator[Site]:
    server.create_database(NAME, template=TEMPLATE)
    yield Site(server, start)
    server.drop_database(NAME)


# The server goes away


@pytest.mark.parametrize("how", [FAST, IMMEDIATE])
def test_a_worker_outlives_an_outage_and_says_so_once_at_each_end(
    site: Site, how: signal.Signals
) -> None:
    worker = site.start(*OFTEN)
    site.is_done(site.defer("tasks.note", number=1))
    site.server.stop(how)
    wait_for(lambda: AWAY in worker.log)
    site.server.start()
    site.is_done(site.defer("tasks.note", number=2))
    wait_for(lambda: all(worker.log.count(end) == worker.log.count(it) for it, end in TOLD.items()))
    lines = [each for each in worker.log.splitlines() if " WARNING " in each or " ERROR " in each]
    troubles = [next((trouble for trouble in TOLD if trouble in line), line) for line in lines]
    assert AWAY in troubles
    assert len(troubles) == len(set(troubles) & set(TOLD)), lines
    assert "Traceback" not in worker.log
    assert site.effects() == [1, 2]
    # The same process as at first.
    assert worker.stop() == 0


def test_jobs_that_end_in_an_outage_are_kept_and_run_once(site: Site, tmp_path: Path) -> None:
    worker = site.start(*HARDLY_EVER)
    path = tmp_path / "told"
    runs = path.with_suffix(".runs")
    job_id = site.defer("slow_tasks.end_when_told", path=str(path))
    wait_for(runs.exists)
    site.server.stop(FAST)
    path.touch()
    # It has tried to write the end down: there is nothing else that it asks.
    wait_for(lambda: AWAY in worker.log)
    site.server.start()
    site.is_done(job_id)
    assert runs.read_text() == "attempt 1\n"
    assert site.outcomes(job_id) == [(1, "succeeded")]
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("task", ["tasks.note_together", "tasks.note_exactly_once"])
def test_work_that_an_outage_rolls_back_is_done_once_after_it(site: Site, task: str) -> None:
    worker = site.start(*OFTEN)
    with site.closed_gate():
        job_id = site.defer(task, number=1, stop="inside")
        site.wait_for_visitor()
        site.server.stop(IMMEDIATE)
    wait_for(lambda: AWAY in worker.log)
    site.server.start()
    site.is_done(job_id)
    assert site.outcomes(job_id) == [(1, "succeeded")]
    assert site.effects() == [1]


@pytest.mark.parametrize("ends", [True, False], ids=["an ended job", "a job that runs"])
def test_a_worker_stopped_in_an_outage_has_its_jobs_rescued(
    site: Site, tmp_path: Path, *, ends: bool
) -> None:
    worker = site.start(*OFTEN, *IN_NO_TIME)
    path = tmp_path / "told"
    job_id = site.defer("slow_tasks.end_when_told", path=str(path))
    wait_for(path.with_suffix(".runs").exists)
    site.server.stop(FAST)
    wait_for(lambda: AWAY in worker.log)
    if ends:
        path.touch()
    assert worker.stop() == 0
    assert "Jobs left to be rescued, not given back: 1" in worker.log
    assert "Traceback" not in worker.log
    path.touch()
    site.server.start()
    site.start("--heartbeat-interval", "0.2", "--dead-after", "1")
    site.is_done(job_id)
    assert site.outcomes(job_id) == [(1, "lost"), (2, "succeeded")]


# The server falls silent


@pytest.mark.parametrize("new_ones_too", [False, True], ids=["for those there are", "for all"])
def test_a_worker_whose_connections_fall_silent_makes_new_ones(
    site: Site, *, new_ones_too: bool
) -> None:
    with Proxy(site.server.port, keepalives=None) as proxy:
        worker = site.start(*OFTEN, port=proxy.port)
        site.is_done(site.defer("tasks.note_exactly_once", number=1))
        proxy.fall_silent(new_ones_too=new_ones_too)
        job_id = site.defer("tasks.note_exactly_once", number=2)
        if new_ones_too:
            wait_for(lambda: AWAY in worker.log)
            proxy.recover()
        site.is_done(job_id, seconds=2 * SOON)
        assert site.outcomes(job_id) == [(1, "succeeded")]
        assert site.effects() == [1, 2]
        assert worker.stop() == 0


def test_a_worker_stops_in_time_while_nothing_answers(site: Site, tmp_path: Path) -> None:
    with Proxy(site.server.port, keepalives=None) as proxy:
        worker = site.start(*OFTEN, *IN_NO_TIME, port=proxy.port)
        path = tmp_path / "told"
        site.defer("slow_tasks.end_when_told", path=str(path))
        wait_for(path.with_suffix(".runs").exists)
        proxy.fall_silent(new_ones_too=True)
        worker.process.send_signal(signal.SIGTERM)
        # Half a second for a last look, one for last words, two to give jobs back and two for a
        # goodbye; else it were 20 s.
        assert worker.process.wait(SOON - 3) == 0
    assert "Jobs left to be rescued, not given back: 1" in worker.log


@pytest.mark.parametrize("task", ["tasks.note", "tasks.note_together", "tasks.note_exactly_once"])
def test_a_job_that_waits_for_an_answer_that_got_lost_is_freed(site: Site, task: str) -> None:
    with Proxy(site.server.port, keepalives=None) as proxy:
        worker = site.start(*OFTEN, port=proxy.port)
        with site.closed_gate():
            job_id = site.defer(task, number=1, stop="inside")
            site.wait_for_visitor()
            proxy.fall_silent(new_ones_too=False)
        freed = "An answer of PostgreSQL got lost"
        wait_for(lambda: freed in worker.log, seconds=2 * SOON)
        if task == "tasks.note":
            # Nothing tells what it had done: it fails, by its own rule.
            wait_for(lambda: site.outcomes(job_id) == [(1, "failed")], seconds=SOON)
            assert site.effects() == []
        else:
            site.is_done(job_id)
            assert site.outcomes(job_id) == [(1, "succeeded")]
            assert site.effects() == [1]
        assert worker.stop() == 0


# Before anything goes away


def test_both_sides_of_a_tasks_connection_look_for_signs_of_life(site: Site) -> None:
    site.start()
    names = [*SIGNS_OF_LIFE, "statement_timeout"]
    job_id = site.defer("slow_tasks.tell_settings", names=names)
    site.is_done(job_id)
    [(settings,)] = site.server.rows(NAME, "SELECT result FROM job_logs WHERE job_id = %s", job_id)
    assert settings.pop("statement_timeout") == "0"
    assert {name: value.replace("ms", "") for name, value in settings.items()} == {
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "11000",
        "client_connection_check_interval": "10s",
    }
