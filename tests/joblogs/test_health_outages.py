"""`manage.py health` without a database that answers, and in a process of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from tests.processes import Process, database_url
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

# The command looks from a thread with a connection of its own.
pytestmark = pytest.mark.django_db(transaction=True)


def run_process(*flags: str, url: str, folder: Path) -> tuple[int, str]:
    process = Process("manage.py", "health", *flags, url=url, log=folder / "health.log")
    return process.process.wait(timeout=90), process.log


def test_a_database_that_cannot_be_reached_is_one_plain_line(
    closed_port: int, tmp_path: Path
) -> None:
    url = f"postgres://somebody:hidden@127.0.0.1:{closed_port}/shop"
    status, log = run_process(url=url, folder=tmp_path)
    assert status == 1
    assert log == (
        f"FAILED database: Cannot reach PostgreSQL at 127.0.0.1:{closed_port}, "
        'database "shop": Connection refused\n'
    )


def test_a_database_that_is_silent_is_given_up(silent_port: int, tmp_path: Path) -> None:
    url = f"postgres://127.0.0.1:{silent_port}/shop"
    status, log = run_process("--timeout=1", url=url, folder=tmp_path)
    assert (status, log) == (1, "FAILED database: gave no answer within 1 s\n")


def test_a_database_without_tables_is_one_plain_line(tmp_path: Path) -> None:
    name = connection.get_connection_params()["dbname"]
    url = database_url().replace(name, "postgres")
    status, log = run_process(url=url, folder=tmp_path)
    assert (status, log) == (1, 'FAILED database: relation "job_workers" does not exist\n')


def test_who_is_not_understood_gets_a_status_of_its_own(tmp_path: Path) -> None:
    status, log = run_process("--max-age=x", url=database_url(), folder=tmp_path)
    assert status == 2
    assert "argument --max-age: 'x' is no number of seconds above 0" in log


def test_a_database_that_hangs_is_given_up_and_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(database_url()) as other:
        other.execute("LOCK TABLE job_workers")
        started = time.monotonic()
        with pytest.raises(SystemExit) as end:
            call_command("health", "--timeout=0.5")
        assert time.monotonic() - started < 5
        assert end.value.code == 1
        assert capsys.readouterr().out == "FAILED database: gave no answer within 0.5 s\n"
        # The server gives up, too.
        wait_for(lambda: other.execute(waiting).fetchone() == (0,))
