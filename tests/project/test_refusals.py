"""What the embedded server, and those who run it, refuse or give up, and how they say so."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from project.management.commands import dev
from project.postgres import binaries, locks, runtime, talk
from project.postgres.account import Account, account_for
from project.postgres.embedded import EmbeddedPostgres
from project.postgres.errors import DatabaseUnreachable
from project.postgres.log import ServerLog
from tests.requirements import needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def silent(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedPostgres]:
    """A server that holds its lock and says nothing; nobody has the patience to wait for it."""
    lock = locks.open_private(server.folder / "server.lock")
    assert locks.try_lock(lock)
    monkeypatch.setattr(locks, "attempts", lambda *_: iter([0.0, 10.0]))
    yield server
    monkeypatch.undo()
    os.close(lock)


def test_a_server_that_does_not_answer_is_given_up(silent: EmbeddedPostgres) -> None:
    (silent.data / "postmaster.pid").write_text("nonsense")
    with pytest.raises(DatabaseUnreachable, match="it did not answer within"):
        silent.ensure_running()
    # Should it live all the same, it ends when it finds this file gone.
    assert not (silent.data / "postmaster.pid").exists()


def test_a_server_that_does_not_stop_is_given_up(silent: EmbeddedPostgres) -> None:
    with pytest.raises(DatabaseUnreachable, match="it did not stop within"):
        silent.stop()


def test_a_file_system_whose_locks_are_feigned_is_refused(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "try_lock", lambda *_, **__: True)
    with pytest.raises(ImproperlyConfigured, match="cannot lock files"):
        server.ensure_running()


def test_a_machine_without_a_folder_for_the_socket_is_told_so(
    server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_candidates", lambda: [str(tmp_path / "missing")])
    with pytest.raises(ImproperlyConfigured, match="Set TMPDIR to a writable folder"):
        server.ensure_running()


@pytest.mark.parametrize("content", ["{pid}", "", "garbage", "-1"])
def test_stopping_it_ends_no_process_but_its_own(server: EmbeddedPostgres, content: str) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            host = server.ensure_running()
            (server.data / "postmaster.pid").write_text(content.format(pid=stranger.pid))
            server.stop()
            assert stranger.poll() is None
            assert not talk.answers(host)
        finally:
            stranger.kill()


def test_a_folder_that_is_a_file_is_told_in_a_line(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    impossible = EmbeddedPostgres(tmp_path / "a file" / ".postgres")
    with pytest.raises(ImproperlyConfigured, match=r"cannot use .*a file/.postgres: Not a dir"):
        impossible.ensure_running()


def test_programs_of_somebody_else_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "programs"
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImproperlyConfigured, match="is somebody else's"):
        binaries.copy_installation(binaries.find_installation(), target)


@needs_root
def test_a_folder_that_runs_no_programs_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoPrograms:
        f_flag = os.ST_NOEXEC

    account = Account(1, 1, switch=True)
    monkeypatch.setattr(os, "statvfs", lambda _: NoPrograms)
    assert not runtime._can_enter(tmp_path, account)


@needs_root
def test_root_is_refused_where_it_cannot_switch_accounts_safely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ImproperlyConfigured, match="run this as an ordinary user"):
        account_for(tmp_path)


def test_a_log_that_does_not_exist_has_no_complaint(tmp_path: Path) -> None:
    assert ServerLog(tmp_path / "missing.log").last_complaint() == ""


def test_dev_without_its_packages_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "find_spec", lambda _: None)
    with pytest.raises(CommandError, match="honcho, watchfiles"):
        call_command("dev")
