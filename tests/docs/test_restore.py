"""A backup of a database amid its jobs, restored as docs/operations.md says."""

from __future__ import annotations

import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import connection

from accounts.models import User
from project.postgres.binaries import find_installation
from tests.docs.pages import statement_with
from tests.jobs import jobs_of
from tests.processes import WorkerProcess, database_url
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import add_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "restored_joblogs"


@pytest.fixture
def server() -> Iterator[psycopg.Connection]:
    """A session that may make the database, and drops it in the end."""
    with closing(psycopg.connect(database_url(), autocommit=True)) as session:
        yield session
        session.execute(f"DROP DATABASE IF EXISTS {NAME} (FORCE)")


@pytest.fixture
def restored(server: psycopg.Connection, tmp_path: Path) -> Iterator[psycopg.Connection]:
    """Back up what there is by then, restore it, and return a session of the new database."""
    dump = tmp_path / "joblogs.dump"
    programs = find_installation() / "bin"
    waiting, running = (User.objects.create_user(name) for name in ("waiting", "running"))
    assert len(jobs_of(waiting.pk)) == 1
    execute(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s",
        add_worker(host="before", pid=7),
        jobs_of(running.pk)[0].pk,
    )
    subprocess.run(
        [programs / "pg_dump", "--format=custom", f"--file={dump}", database_url()], check=True
    )
    server.execute(f"CREATE DATABASE {NAME}")
    subprocess.run(
        [programs / "pg_restore", "--exit-on-error", f"--dbname={url_of_restored()}", dump],
        check=True,
    )
    with closing(psycopg.connect(url_of_restored(), autocommit=True)) as session:
        yield session


def url_of_restored() -> str:
    name = connection.settings_dict["NAME"]
    return database_url().replace(f"///{name}?", f"///{NAME}?")


def one_of(session: psycopg.Connection, query: str) -> object:
    row = session.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_all_jobs_wait_in_paused_queues_and_run_when_resumed(
    restored: psycopg.Connection, tmp_path: Path
) -> None:
    restored.execute(statement_with("INSERT INTO job_queues").encode())
    flags = ("--heartbeat-interval", "0.2", "--dead-after", "1", "-p", "0.2")
    worker = WorkerProcess(*flags, url=url_of_restored(), log=tmp_path / "worker.log")
    try:
        wait_for(lambda: one_of(restored, "SELECT worker FROM job_logs") == "before:7")
        waiting = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"
        assert one_of(restored, waiting) == 2
        assert one_of(restored, "SELECT count(*) FROM user_logs") == 0
        restored.execute(statement_with("SET paused_at = NULL").encode())
        wait_for(lambda: one_of(restored, "SELECT count(*) FROM user_logs") == 2)
    finally:
        assert worker.stop() == 0, worker.log
