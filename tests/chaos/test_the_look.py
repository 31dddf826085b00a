"""Whether these tests would see it if something went wrong."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.chaos.play import Outcome, Pace, Verdict, verdict_of
from tests.chaos.proxy import Proxy
from tests.chaos.scenarios import mix
from tests.chaos.server import FAST
from tests.chaos.stage import Stage
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.server import PostgresServer

NAME = "chaos_look"
GOOD = Verdict(users=9, missing=0, doubled=0, doing=0, todo=0, failed=0, undone=0)
QUICK = Pace(
    rate_before=100,
    rate_during=0,
    rate_after=100,
    users_after=100,
    silence=20,
    first_log=0.1,
    caught_up=1,
    lasted=20,
)


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    server.create_database(NAME, template="template_joblogs")
    yield NAME
    server.drop_database(NAME)


def outcome(
    verdict: Verdict = GOOD, pace: Pace = QUICK, *, deserters: int = 0, status: int = 0
) -> Outcome:
    return Outcome("a scenario", "joblogs", verdict, pace, deserters, [status], 5.0, [])


def test_users_and_jobs_that_came_to_harm_are_seen(server: PostgresServer, database: str) -> None:
    server.rows(
        database,
        "INSERT INTO users (username, password, first_name, last_name, is_superuser, is_staff,"
        " is_active, date_joined, email)"
        " SELECT 'user' || n, '', '', '', false, false, true, now(), ''"
        "   FROM generate_series(1, 6) AS n",
    )
    server.rows(
        database,
        "INSERT INTO user_logs (user_id, job_id)"
        " SELECT id, copy FROM users, generate_series(1, 2) AS copy"
        "  WHERE (username, copy) NOT IN"
        "        (('user1', 1), ('user1', 2), ('user2', 1), ('user3', 2), ('user4', 2))",
    )
    server.rows(
        database,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status)"
        " SELECT 'default', task, status::procrastinate_job_status"
        "   FROM (VALUES ('x', 'doing'), ('x', 'todo'), ('x', 'failed'), ('x', 'aborted'),"
        "                ('x', 'succeeded'), ('tests.chaos.tasks.note', 'succeeded'),"
        "                ('tests.chaos.tasks.note', 'succeeded')) AS job (task, status)",
    )
    server.rows(database, "INSERT INTO effects SELECT max(id) FROM procrastinate_jobs")

    seen = verdict_of(server, database)
    assert seen == Verdict(users=6, missing=1, doubled=2, doing=1, todo=1, failed=2, undone=1)
    assert len(outcome(seen).faults) == 6


def test_all_is_well_where_nothing_is_wrong() -> None:
    assert outcome().faults == []


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (outcome(deserters=1), "1 workers ended"),
        (outcome(status=-9), "1 workers stopped badly"),
        (outcome(pace=QUICK._replace(first_log=None)), "no log within 5 s"),
        (outcome(pace=QUICK._replace(first_log=5.1)), "no log within 5 s"),
        (outcome(pace=QUICK._replace(rate_after=79)), "rate 0.79x"),
    ],
)
def test_workers_that_are_gone_or_slow_are_seen(bad: Outcome, fault: str) -> None:
    assert bad.faults == [fault]


def test_a_worker_that_ended_counts_unless_it_found_no_database_at_its_start(
    server: PostgresServer, logs: Path
) -> None:
    with Stage(server, "joblogs", NAME, folder=logs, chance=random.Random()) as stage:  # noqa: S311  # troubles, no secrets
        server.stop(FAST)
        stage.kill_worker(0)
        unlucky, other = stage.workers
        wait_for(lambda: unlucky.has_ended)
        server.start()
        stage.wait_until_all_have_started()
        assert stage.workers[0] is not unlucky
        assert not stage.workers[0].has_ended

        other.process.kill()
        wait_for(lambda: other.has_ended)
        assert stage.stop(*stage.workers) == [0]
        assert stage.deserters == 1


def test_a_producer_that_is_slowed_down_is_no_fault_of_the_workers() -> None:
    slowed = QUICK._replace(rate_after=60, users_after=61)
    assert outcome(pace=slowed).faults == []


def test_a_seed_makes_a_mix() -> None:
    def names(seed: int) -> list[str]:
        return [step.name for step in mix(120, random.Random(seed))]  # noqa: S311  # troubles, no secrets

    assert names(1) == names(1) != names(2)


def test_behind_a_silent_proxy_neither_end_is_told_anything(
    server: PostgresServer, database: str
) -> None:
    with Proxy(server.port, keepalives=None) as proxy:
        url = server.url(database, port=proxy.port, name="silent")
        with closing(psycopg.connect(url, autocommit=True)) as old:
            psycopg.connect(url).close()
            wait_for(lambda: silent_sessions(server, database) == 1)
            proxy.fall_silent(new_ones_too=True)
            old.pgconn.send_query(b"SELECT 1")
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                psycopg.connect(url, connect_timeout=2)

            proxy.recover()
            with psycopg.connect(url) as new:
                assert new.execute("SELECT 1").fetchone() == (1,)
                assert silent_sessions(server, database) == 2
            old.pgconn.consume_input()
            assert old.pgconn.is_busy()


def test_the_server_misses_the_clients_of_a_silent_proxy_after_its_keepalives(
    server: PostgresServer, database: str
) -> None:
    with Proxy(server.port, keepalives=0.1) as proxy:
        url = server.url(database, port=proxy.port, name="silent")
        with closing(psycopg.connect(url, autocommit=True)) as old:
            wait_for(lambda: silent_sessions(server, database) == 1)
            proxy.fall_silent(new_ones_too=False)
            wait_for(lambda: silent_sessions(server, database) == 0)
            old.pgconn.send_query(b"SELECT 1")
            old.pgconn.consume_input()
            assert old.pgconn.is_busy()


def silent_sessions(server: PostgresServer, database: str) -> int:
    look = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'silent'"
    [(count,)] = server.rows(database, look)
    return int(count)
