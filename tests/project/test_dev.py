"""`manage.py dev`: everything up with one command, and down again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.checkouts import Checkout, environment, processes_in
from tests.ports import free_port
from tests.requirements import needs_proc
from tests.servers import discard
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = needs_proc

PASSWORD = re.compile(r"Log in as admin with password (\S+) ")


class Dev:
    """A running `manage.py dev`, and all it says."""

    def __init__(self, checkout: Checkout, log: Path, **more: str) -> None:
        self.checkout = checkout
        self.log_file = log
        self.port = free_port()
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "dev", "--port", str(self.port)],
                cwd=checkout.folder,
                # At SIGABRT it tells where it is.
                env=environment(PYTHONFAULTHANDLER="1", **more),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell's background job, as which the tests may run, does not hear Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def get(self, path: str) -> int:
        """Return the status that the site answers with, after redirects, or 0 without an answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
                return int(response.status)
        except OSError:
            return 0

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.get("/users/") == 200 and "Starting worker" in self.log)

    def pid_of(self, command: str) -> int:
        # Not the reloader around it, whose command line holds the same words.
        found = [
            pid
            for pid, line in processes_in(self.checkout.folder).items()
            if command in line and "project.reloader" not in line
        ]
        assert len(found) == 1, found
        return found[0]

    def end(self, signal_number: int) -> int:
        """Return the exit status, or fail with the log and with where it hangs."""
        self.process.send_signal(signal_number)
        try:
            return self.process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            pytest.fail(f"does not end after signal {signal_number}:\n{self.log}")


@pytest.fixture
def start_dev(checkout: Checkout, tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    started: list[Dev] = []

    def start(checkout: Checkout = checkout, **more: str) -> Dev:
        started.append(Dev(checkout, tmp_path / f"dev-{len(started)}.log", **more))
        return started[-1]

    # An earlier test may have used it from this process.
    assert checkout.server.stop_if_unused()
    yield start
    for dev in started:
        # For the report, should the test have failed.
        print(dev.log)
        if dev.process.poll() is None:
            dev.end(signal.SIGINT)
        discard(dev.checkout.server)
        for pid in processes_in(dev.checkout.folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda dev=dev: not processes_in(dev.checkout.folder))  # type: ignore[misc]  # typed lambda


@pytest.fixture
def dev(start_dev: Callable[..., Dev]) -> Dev:
    dev = start_dev()
    dev.wait_until_ready()
    return dev


@pytest.fixture
def errors(checkout: Checkout) -> Iterator[Path]:
    """A file of the code to change, which is as it was for the next test."""
    file = checkout.folder / "project" / "errors.py"
    before = file.read_text()
    yield file
    file.write_text(before)


def test_the_first_start_makes_an_admin_and_ctrl_c_ends_all(
    start_dev: Callable[..., Dev], tmp_path: Path
) -> None:
    checkout = Checkout(tmp_path / "with a space")
    dev = start_dev(checkout)
    dev.wait_until_ready()
    for path in ("/users/", "/logs/", "/admin/"):
        assert f"http://127.0.0.1:{dev.port}{path}" in dev.log
        assert dev.get(path) == 200
    assert re.search(r"Database ready, [1-9]\d* migrations applied\.", dev.log)
    (password,) = PASSWORD.findall(dev.log)
    code = (
        "from accounts.models import User; admin = User.objects.get(username='admin');"
        f"print(admin.is_superuser and admin.check_password({password!r}))"
    )
    assert dev.checkout.manage("shell", "-v0", "-c", code).stdout == "True\n"
    # The administrator is a user as any other: a log is written.
    wait_for(lambda: "create_user_log job=1 succeeded" in dev.log)
    assert re.search(r"^\S+ web +\| ", dev.log, re.MULTILINE)
    assert re.search(r"^\S+ worker +\| ", dev.log, re.MULTILINE)

    assert dev.end(signal.SIGINT) == 0
    assert dev.log.endswith("Database stopped.\n")
    assert "Stopped worker" in dev.log
    assert processes_in(checkout.folder) == {}

    second = start_dev(checkout)
    second.wait_until_ready()
    assert "Database ready, 0 migrations applied." in second.log
    assert not PASSWORD.search(second.log)
    assert second.end(signal.SIGTERM) == 0
    assert processes_in(checkout.folder) == {}


@pytest.mark.parametrize(
    ("command", "signal_number", "status"),
    [("procrastinate worker", signal.SIGKILL, 137), ("uvicorn", signal.SIGTERM, 143)],
    ids=["worker", "web"],
)
def test_one_that_dies_stops_the_rest_with_its_status(
    dev: Dev, command: str, signal_number: int, status: int
) -> None:
    os.kill(dev.pid_of(command), signal_number)
    assert dev.process.wait(timeout=90) == status
    assert processes_in(dev.checkout.folder) == {}


def test_nothing_but_the_database_outlives_it_when_it_is_killed(dev: Dev) -> None:
    dev.end(signal.SIGKILL)
    data = dev.checkout.server.data
    wait_for(lambda: processes_in(dev.checkout.folder) == processes_in(data))
    assert dev.checkout.server.running_host()


def test_it_leaves_a_database_alone_that_it_did_not_start(
    checkout: Checkout, start_dev: Callable[..., Dev]
) -> None:
    checkout.server.ensure_running()
    dev = start_dev()
    dev.wait_until_ready()
    assert dev.end(signal.SIGINT) == 0
    assert checkout.server.running_host()


def test_it_leaves_its_database_to_those_who_still_use_it(dev: Dev) -> None:
    dev.checkout.server.ensure_running()
    assert dev.end(signal.SIGINT) == 0
    assert dev.log.endswith("Database left to those who still use it.\n")
    assert dev.checkout.server.running_host()


def test_ctrl_c_while_it_sets_up_stops_the_database_too(
    checkout: Checkout, start_dev: Callable[..., Dev]
) -> None:
    dev = start_dev()
    wait_for(checkout.server.running_host)
    assert dev.end(signal.SIGINT) == 0
    assert processes_in(checkout.folder) == {}


def test_closing_its_terminal_stops_everything(dev: Dev) -> None:
    assert dev.end(signal.SIGHUP) == 0
    assert dev.log.endswith("Database stopped.\n")


def test_two_at_once_prepare_the_database_one_after_the_other(
    checkout: Checkout, start_dev: Callable[..., Dev]
) -> None:
    shutil.rmtree(checkout.server.data, ignore_errors=True)
    both = [start_dev(), start_dev()]
    for dev in both:
        dev.wait_until_ready()
    assert sum("Database ready, 0 migrations applied." in dev.log for dev in both) == 1
    assert sum(bool(PASSWORD.search(dev.log)) for dev in both) == 1
    assert [dev.end(signal.SIGINT) for dev in both] == [0, 0]


def test_a_change_of_code_starts_both_again(dev: Dev, errors: Path) -> None:
    before = {dev.pid_of("uvicorn"), dev.pid_of("procrastinate worker")}
    errors.write_text(errors.read_text() + "\n")
    wait_for(lambda: re.search(r"web +\| errors.py changed", dev.log))
    wait_for(lambda: re.search(r"worker +\| errors.py changed", dev.log))
    wait_for(lambda: dev.get("/users/") == 200 and dev.log.count("Starting worker") == 2)
    assert before.isdisjoint({dev.pid_of("uvicorn"), dev.pid_of("procrastinate worker")})


def test_a_slip_in_the_code_waits_for_its_correction(dev: Dev, errors: Path) -> None:
    right = errors.read_text()
    errors.write_text("a slip in the code")
    wait_for(lambda: re.search(r"web +\| stopped with status 1, waiting for the next", dev.log))
    assert dev.process.poll() is None
    errors.write_text(right)
    wait_for(lambda: dev.get("/users/") == 200)


@pytest.mark.parametrize(("given", "debug"), [({}, "true"), ({"DEBUG": "false"}, "false")])
def test_it_runs_in_debug_mode_unless_told_otherwise(
    start_dev: Callable[..., Dev], given: dict[str, str], debug: str
) -> None:
    dev = start_dev(**given)
    wait_for(lambda: "Starting worker" in dev.log)
    variables = Path(f"/proc/{dev.pid_of('procrastinate worker')}/environ").read_bytes()
    assert f"DEBUG={debug}".encode() in variables.split(b"\0")
    # Either way on plain HTTP.
    wait_for(lambda: dev.get("/users/") == 200)


def test_a_port_that_is_taken_is_told_before_anything_starts(checkout: Checkout) -> None:
    checkout.server.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = checkout.manage("dev", "--port", str(port))
    assert result.returncode == 1
    assert result.stderr == (
        f"CommandError: Port {port} of 127.0.0.1 cannot be used: Address already in use. "
        f"Try --port {port + 1}.\n"
    )
    assert checkout.server.running_host() is None


def test_a_port_that_cannot_be_is_told(checkout: Checkout) -> None:
    result = checkout.manage("dev", "--port", "70000")
    assert (result.returncode, result.stderr) == (
        1,
        "CommandError: Port 70000 is not between 1 and 65535.\n",
    )
