"""The examples for systemd and PgBouncer, and the variables that all examples set."""

from __future__ import annotations

import configparser
import os
import pwd
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from environs import Env

from project.environment import database
from tests.docs.pages import (
    EXAMPLES,
    PROBE,
    ROOT,
    UNITS,
    longest_stop,
    seconds_of,
    start_of,
    unit,
    worker_options,
)
from tests.pgbouncer import PROGRAM
from tests.ports import free_port
from tests.requirements import needs_pgbouncer
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

# Read by programs of others: uvicorn, the image of PostgreSQL.
OF_OTHERS = {"FORWARDED_ALLOW_IPS", "POSTGRES_PASSWORD"}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze (package systemd)"
)


def variables_of_the_example() -> dict[str, str]:
    """Return the variables of the file, read as a shell does; raises for several words."""
    lines = (EXAMPLES / "joblogs.env").read_text().splitlines()
    assignments = [shlex.split(line, comments=True) for line in lines]
    pairs = [words for words in assignments if words]
    return {name: value for [pair] in pairs for name, _, value in [pair.partition("=")]}


def test_every_variable_of_the_example_is_one_that_is_read() -> None:
    code = "".join(path.read_text() for path in (ROOT / "project").glob("*.py"))
    known = set(re.findall(r"\benv\.\w+\(\s*\"(\w+)\"", code)) | OF_OTHERS
    assert {"SECRET_KEY", "DATABASE_URL", "ALLOWED_HOSTS"} <= set(variables_of_the_example())
    assert set(variables_of_the_example()) <= known


def test_the_examples_url_finds_the_server_that_takes_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", variables_of_the_example()["DATABASE_URL"])
    entry = database(Env(), tmp_path)
    assert (entry["NAME"], entry["HOST"].count(",")) == ("joblogs", 1)
    assert entry["OPTIONS"]["target_session_attrs"] == "read-write"
    assert entry["OPTIONS"]["sslmode"] == "verify-full"


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_started_again_for_ever(name: str) -> None:
    settings = unit(name)
    assert settings["Restart"] == ["always"]
    assert settings["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("name", UNITS)
def test_a_units_processes_are_stopped_once_and_killed_together(name: str) -> None:
    assert unit(name)["KillMode"] == ["mixed"]


def test_systemd_gives_a_worker_the_time_that_it_takes_to_stop() -> None:
    [limit] = unit("joblogs-worker@.service")["TimeoutStopSec"]
    assert seconds_of(limit) > longest_stop(start_of("joblogs-worker@.service"))


def test_a_child_out_of_memory_does_not_take_others_along() -> None:
    assert worker_options(start_of("joblogs-worker@.service"))["processes"] > 1
    assert unit("joblogs-worker@.service")["OOMPolicy"] == ["continue"]


def test_systemd_gives_requests_the_time_that_uvicorn_does() -> None:
    [limit] = unit("joblogs-web.service")["TimeoutStopSec"]
    command = start_of("joblogs-web.service")
    grace = int(command[command.index("--timeout-graceful-shutdown") + 1])
    assert seconds_of(limit) >= grace + 5


def test_a_program_of_a_unit_is_in_its_folder() -> None:
    for name in (*UNITS, PROBE):
        [folder] = unit(name)["WorkingDirectory"]
        assert start_of(name)[0].startswith(f"{folder}/.venv/bin/")


@needs_systemd
@pytest.mark.parametrize("name", [*UNITS, PROBE, PROBE.replace(".service", ".timer")])
def test_systemd_has_nothing_to_say_against_a_unit(name: str, tmp_path: Path) -> None:
    for unit_file in [*EXAMPLES.glob("*.service"), *EXAMPLES.glob("*.timer")]:
        # It looks whether programs are there.
        text = re.sub(
            r"^ExecStart=\S+", "ExecStart=/bin/true", unit_file.read_text(), flags=re.MULTILINE
        )
        (tmp_path / unit_file.name.replace("@", "@1")).write_text(text)
    path = tmp_path / name.replace("@", "@1")
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    complaints = [line for line in result.stderr.splitlines() if name.partition(".")[0] in line]
    assert (result.returncode, complaints) == (0, [])


def pgbouncer_settings() -> configparser.ConfigParser:
    settings = configparser.ConfigParser(comment_prefixes=(";",), interpolation=None)
    settings.read(EXAMPLES / "pgbouncer.ini")
    return settings


def test_pgbouncer_has_room_for_the_pools_of_many_processes() -> None:
    settings = pgbouncer_settings()["pgbouncer"]
    assert settings["pool_mode"] == "transaction"
    assert int(settings["max_client_conn"]) >= 20 * (10 + 1)
    # PostgreSQL allows 100 by default, and workers take some.
    assert int(settings["default_pool_size"]) <= 50


@needs_pgbouncer
def test_pgbouncer_starts_with_its_example(tmp_path: Path) -> None:
    assert PROGRAM
    settings = pgbouncer_settings()
    users = tmp_path / "userlist.txt"
    users.write_text("")
    ours = settings["pgbouncer"]
    ours.update(listen_port=str(free_port()), auth_file=str(users), unix_socket_dir="")
    if os.geteuid() == 0:
        # It refuses to be root.
        ours["user"] = pwd.getpwuid(65534).pw_name
    with (tmp_path / "pgbouncer.ini").open("w") as file:
        settings.write(file)
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [PROGRAM, tmp_path / "pgbouncer.ini"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: process.poll() is not None or "process up" in log.read_text())
        assert process.poll() is None, log.read_text()
        for word in ("ERROR", "FATAL", "unknown", "unrecognized"):
            assert word not in log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=90)
