"""What workers set of their sessions, and leave alone where these are others' by turns."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection
from procrastinate.contrib.django import app

from joblogs.engine.connectors import in_turns
from joblogs.models import JobLog
from tests.engine_processes.jobs import job, states
from tests.pgbouncer import PgBouncer
from tests.requirements import needs_pgbouncer
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Process

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["client_connection_check_interval", "statement_timeout"]
LOOK = (
    "SELECT current_setting('client_connection_check_interval') AS check,"
    " current_setting('statement_timeout') AS timeout"
)


def settings_of_a_task() -> object:
    """Have a worker tell the settings of the session that a task of its uses."""
    task = app.configure_task("tests.engine_processes.slow_tasks.tell_settings")
    job_id = task.defer(names=[*NAMES])
    wait_for(lambda: JobLog.objects.filter(job_id=job_id).exists())
    return JobLog.objects.get(job_id=job_id).result


def test_statements_of_the_engine_have_a_limit() -> None:
    connector = app.connector.get_worker_connector()  # type: ignore[attr-defined]  # ours

    async def look() -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
        await connector.open_async()
        try:
            # A session like those that listen and hold the lock.
            async with connector._get_standalone_connection() as kept:
                cursor = await kept.execute(LOOK)
                return await connector.execute_query_one_async(query=LOOK), await cursor.fetchall()
        finally:
            await connector.close_async()

    of_pool, of_kept = asyncio.run(look())
    assert of_pool == {"check": "10s", "timeout": "40s"}
    assert of_kept == [("10s", "40s")]


def test_the_connection_that_tries_the_database_first_is_not_kept() -> None:
    connection.close()
    app.connector.get_worker_connector()  # type: ignore[attr-defined]  # ours
    assert connection.connection is None


def test_tasks_statements_have_none_and_end_with_their_worker(
    start: Callable[..., Process],
) -> None:
    start()
    assert settings_of_a_task() == dict(zip(NAMES, ["10s", "0"], strict=True))


@needs_pgbouncer
def test_sessions_behind_pgbouncer_are_as_they_were(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    with PgBouncer(tmp_path) as pgbouncer:
        worker = start("--no-listen-notify", "-p", "0.1", url=pgbouncer.url)
        for number in range(20):
            job("note").defer(number=number)
            job("note_asynchronously").defer(number=number)
        wait_for(lambda: states() == {"succeeded"})
        assert settings_of_a_task() == dict.fromkeys(NAMES, "0")
        assert worker.stop() == 0
        with ExitStack() as stack:
            # In a transaction each, so that all of its connections are seen.
            for _ in range(3):
                session = stack.enter_context(psycopg.connect(pgbouncer.url))
                assert session.execute(LOOK).fetchall() == [("0", "0")]


@pytest.mark.parametrize(
    ("given", "first", "short"),
    [({"connect_timeout": "5"}, 5, 2), ({"connect_timeout": 1}, 1, 1), ({}, 0, 2)],
    ids=["five seconds", "one", "none"],
)
def test_most_tries_to_connect_are_brief_and_some_are_patient(
    given: dict[str, Any], first: int, short: int
) -> None:
    parameters = in_turns({"host": "here", **given})
    turns = [parameters() for _ in range(16)]
    assert {turn["host"] for turn in turns} == {"here"}
    assert [turn["connect_timeout"] for turn in turns] == [first, *[short] * 7] * 2
