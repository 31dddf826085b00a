"""The embedded server as root, as an ordinary user, and between users."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import coverage
import pytest
from coverage.exceptions import CoverageWarning

from project.postgres import binaries, talk
from project.postgres.account import Account
from tests.forking import ROOT
from tests.requirements import needs_proc, needs_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from project.postgres.embedded import EmbeddedPostgres


def run_as(name: str, function: Callable[[], object]) -> str:
    """Return what the function returns, or the error it raises, as text, when `name` calls it.

    In a fork: other accounts may not be able to enter the folders of this Python.
    """
    account = pwd.getpwnam(name)
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory(prefix="joblogs-test-") as folder:
        os.chown(folder, account.pw_uid, account.pw_gid)
        seen = Path(folder) / "coverage"
        with warnings.catch_warnings():
            # Threads that other tests left behind are not needed here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                with measured_anew(seen):
                    os.setgroups([])
                    os.setgid(account.pw_gid)
                    os.setuid(account.pw_uid)
                    answer = str(function())
            except BaseException as error:  # noqa: BLE001  # handed to the test
                answer = f"{type(error).__name__}: {error}"
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as file:
            answer = file.read()
        os.waitpid(child, 0)
        count(seen)
    return answer


@contextmanager
def measured_anew(file: Path) -> Iterator[None]:
    """If coverage is measured, measure it in a fork into a file that its account can write."""
    outer = coverage.Coverage.current()
    if outer is None:
        yield
        return
    outer.stop()
    inner = coverage.Coverage(
        data_file=str(file), data_suffix=False, config_file=str(ROOT / "pyproject.toml")
    )
    # It misses the modules' own lines, which the outer one has.
    warnings.simplefilter("ignore", CoverageWarning)
    inner.start()
    try:
        yield
    finally:
        inner.stop()
        inner.save()


def count(file: Path) -> None:
    """Add what a fork has measured to what is reported in the end."""
    outer = coverage.Coverage.current()
    if outer and file.exists():
        shutil.copy(file, f"{outer.get_data().base_filename()}.{file.parent.name}")


def started(server: EmbeddedPostgres) -> Callable[[], str]:
    def start() -> str:
        host = server.ensure_running()
        return f"{host} {talk.postmaster_pid(host)}"

    return start


@pytest.fixture
def ordinary_users(open_folder: Path) -> dict[str, Path]:
    """Two users with a folder each."""
    folders = {}
    for name in ("daemon", "nobody"):
        user = pwd.getpwnam(name)
        account = Account(user.pw_uid, user.pw_gid, switch=True)
        if not binaries.runs(binaries.find_installation(), account):
            pytest.skip(f"{name} may not enter the folder of PostgreSQL's programs")
        folders[name] = open_folder / name
        folders[name].mkdir()
        account.take(folders[name])
    return folders


def owner_of_process(pid: int) -> str:
    return Path(f"/proc/{pid}").owner()


@needs_root
@needs_proc
def test_root_opens_no_folder_to_others(
    new_server: Callable[[Path], EmbeddedPostgres],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The package, too, is where only root may go.
    site = tmp_path / "private" / "site"
    package = binaries.find_installation().parent
    shutil.copytree(package, site / package.name)
    if (libraries := package.with_name(f"{package.name}.libs")).exists():
        shutil.copytree(libraries, site / libraries.name)
    monkeypatch.syspath_prepend(site)
    checkout = tmp_path / "private" / "checkout"
    checkout.mkdir()
    for folder in (tmp_path / "private", site, checkout):
        folder.chmod(0o700)
    folders = [tmp_path / "private", site, checkout, *tmp_path.parents]
    before = [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in folders]

    server = new_server(checkout)
    pid = talk.postmaster_pid(server.ensure_running())

    assert pid
    assert owner_of_process(pid) == "nobody"
    assert before == [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in folders]
    server.stop()
    assert server.ensure_running()


@needs_root
@needs_proc
def test_root_runs_it_as_the_checkouts_owner_who_can_use_it(
    ordinary_users: dict[str, Path], new_server: Callable[[Path], EmbeddedPostgres]
) -> None:
    server = new_server(ordinary_users["daemon"])
    pid = talk.postmaster_pid(server.ensure_running())
    assert pid
    assert owner_of_process(pid) == "daemon"
    assert run_as("daemon", started(server)).split()[1] == str(pid)
    assert server.stop_if_unused()
    assert run_as("daemon", started(server)).startswith("/")


@needs_root
def test_root_passes_over_a_folder_that_the_server_cannot_enter(
    server: EmbeddedPostgres, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_folder.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    assert not server.ensure_running().is_relative_to(open_folder)
    assert list(open_folder.iterdir()) == []


@needs_root
def test_root_gives_copied_data_to_the_account_that_runs_it(
    server: EmbeddedPostgres,
) -> None:
    assert server.data.stat().st_uid == 0
    server.ensure_running()
    assert {path.owner() for path in server.data.rglob("*")} == {"nobody"}


@needs_root
@needs_proc
def test_two_users_with_a_checkout_each_do_not_disturb_each_other(
    ordinary_users: dict[str, Path], new_server: Callable[[Path], EmbeddedPostgres]
) -> None:
    answers = {}
    for account, folder in ordinary_users.items():
        answers[account] = run_as(account, started(new_server(folder))).split()
    for account, (host, pid) in answers.items():
        assert owner_of_process(int(pid)) == account
        assert Path(host).owner() == account
        assert Path(host).stat().st_mode & 0o077 == 0


@needs_root
def test_a_stranger_is_told_whose_checkout_it_is(
    ordinary_users: dict[str, Path], new_server: Callable[[Path], EmbeddedPostgres]
) -> None:
    server = new_server(ordinary_users["nobody"])
    assert "cannot use" in run_as("daemon", started(server))
    assert run_as("nobody", started(server)).startswith("/")
    assert "belongs to nobody: run this as nobody" in run_as("daemon", started(server))


@pytest.mark.skipif(os.geteuid() == 0, reason="only an ordinary user needs no account switched")
def test_an_ordinary_user_owns_all_of_it(server: EmbeddedPostgres) -> None:
    server.ensure_running()
    assert {path.stat().st_uid for path in server.folder.rglob("*")} == {os.geteuid()}
