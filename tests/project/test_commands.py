"""Which commands start the embedded server, and those that are about it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.checkouts import environment

if TYPE_CHECKING:
    from tests.checkouts import Checkout


@pytest.fixture
def stopped(checkout: Checkout) -> Checkout:
    checkout.server.stop()
    return checkout


@pytest.fixture
def running(checkout: Checkout) -> Checkout:
    checkout.server.ensure_running()
    return checkout


def url_of(checkout: Checkout) -> str:
    return f"postgres://postgres@/joblogs?host={checkout.server.ensure_running()}"


@pytest.mark.parametrize(
    "command", [["--help"], ["check"], ["makemigrations", "--check", "--dry-run"]], ids=" ".join
)
def test_a_command_that_needs_no_database_does_not_start_it(
    stopped: Checkout, command: list[str]
) -> None:
    result = stopped.manage(*command)
    assert (result.returncode, result.stderr) == (0, "")
    assert stopped.server.running_host() is None


def test_makemigrations_still_looks_at_a_database_that_runs(running: Checkout) -> None:
    # The migration that came last is recorded without those before it.
    assert running.manage("migrate", "accounts").returncode == 0
    forget = "DELETE FROM django_migrations WHERE app = 'auth' AND name LIKE '0001%'"
    assert running.manage("dbshell", "--", "-c", forget).returncode == 0
    result = running.manage("makemigrations", "--check", "--dry-run")
    assert result.returncode == 1
    assert "is applied before its dependency auth.0001" in result.stderr
    running.manage("dbshell", "--", "-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def test_a_command_that_needs_the_database_starts_it(stopped: Checkout) -> None:
    code = "from django.db import connection as c; c.ensure_connection(); print(c.vendor)"
    assert stopped.manage("shell", "-v0", "-c", code).stdout.strip() == "postgresql"
    assert stopped.server.running_host()


def test_a_database_that_somebody_dropped_comes_back_empty(running: Checkout) -> None:
    dropped = running.manage("dbshell", "--", "-d", "postgres", "-c", "DROP DATABASE joblogs")
    assert dropped.returncode == 0, dropped.stderr
    code = "from django.db import connection as c; print(c.introspection.table_names())"
    assert running.manage("shell", "-v0", "-c", code).stdout == "[]\n"


def test_postgres_start_brings_back_a_dropped_database(running: Checkout) -> None:
    in_postgres = ("dbshell", "--", "-d", "postgres", "-Atc")
    running.manage(*in_postgres, "DROP DATABASE joblogs")
    names = "SELECT datname FROM pg_database WHERE datname = 'joblogs'"
    assert running.manage(*in_postgres, names).stdout == ""
    assert running.manage("postgres", "start").returncode == 0
    assert running.manage(*in_postgres, names).stdout == "joblogs\n"


def test_postgres_starts_stops_and_tells_which_of_both(stopped: Checkout) -> None:
    status = stopped.manage("postgres", "status")
    assert (status.returncode, status.stdout) == (3, "The embedded PostgreSQL is not running.\n")
    assert stopped.manage("postgres", "start").returncode == 0
    status = stopped.manage("postgres", "status")
    assert status.returncode == 0
    assert "PostgreSQL 18." in status.stdout
    assert str(stopped.server.data) in status.stdout
    assert str(stopped.server.running_host()) in status.stdout
    assert stopped.manage("postgres", "stop").returncode == 0
    assert stopped.server.running_host() is None


def test_dbshell_brings_its_own_psql(stopped: Checkout) -> None:
    result = stopped.manage("dbshell", "--", "-c", "select 1 as one", env=environment(PATH=""))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["one", "-----", "1", "(1", "row)"]


def test_with_database_url_dbshell_runs_the_systems_psql(
    running: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    psql = tmp_path_factory.mktemp("bin") / "psql"
    psql.write_text("#!/bin/sh\necho another psql: $*\n")
    psql.chmod(0o755)
    result = running.manage(
        "dbshell",
        env=environment(
            DATABASE_URL="postgres://me@db.example/shop",
            SECRET_KEY="x",
            PATH=f"{psql.parent}:{os.environ['PATH']}",
        ),
    )
    assert result.stdout == "another psql: -U me -h db.example shop\n"


def test_with_database_url_no_embedded_server_is_imported(running: Checkout) -> None:
    code = """
import sys, django
django.setup()
from django.core.management import call_command
from django.db import connection
connection.ensure_connection()
call_command("check", databases=["default"])
call_command("makemigrations", check_changes=True, dry_run=True)
print([name for name in sys.modules if "pgserver" in name or name.endswith("postgres.embedded")])
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=running.folder,
        env=environment(
            DATABASE_URL=url_of(running),
            SECRET_KEY="x",
            DJANGO_SETTINGS_MODULE="project.settings",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.splitlines()[-1:] == ["[]"], result.stderr


def test_with_database_url_there_is_no_server_to_manage(checkout: Checkout) -> None:
    url = "postgres://db.example/shop"
    result = checkout.manage("postgres", "stop", env=environment(DATABASE_URL=url, SECRET_KEY="x"))
    assert result.returncode == 1
    assert result.stderr == (
        "CommandError: DATABASE_URL is set: there is no embedded PostgreSQL to manage.\n"
    )
