"""Processes under one log stop in order, whenever they are asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from honcho.printer import Message  # type: ignore[import-untyped]  # no types

from project.runner import Runner
from tests.forking import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pipe() -> Iterator[tuple[int, threading.Thread, list[bytes]]]:
    """A descriptor to write to, and what arrives at its other end when it is closed."""
    reader, writer = os.pipe()
    arrived: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as lines:
            arrived.extend(lines)

    thread = threading.Thread(target=read)
    thread.start()
    yield writer, thread, arrived
    thread.join()


def test_a_signal_amid_a_line_can_print_its_own(
    pipe: tuple[int, threading.Thread, list[bytes]],
) -> None:
    descriptor, thread, arrived = pipe
    printer = Runner(descriptor)._printer
    line = Message("line", "x" * 5_000, datetime.now(), "web", None)  # noqa: DTZ005  # as honcho
    interruptions = 0

    def interrupt(*_: object) -> None:
        nonlocal interruptions
        interruptions += 1
        printer.write(line)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(5_000):
            printer.write(line)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(descriptor)
    thread.join()
    assert interruptions > 10
    assert sum(part.count(b"x") for part in arrived) == (5_000 + interruptions) * 5_000


ASKED_BEFORE_IT_KNOWS = """
import os, pathlib, signal, sys
from project.runner import Runner

class Hasty(Runner):
    def _start(self):
        super()._start()
        os.kill(os.getpid(), signal.SIGINT)

runner = Hasty(1)
for name in ("one", "two"):
    runner.add(name, "exec sleep 60", os.environ, pathlib.Path.cwd())
sys.exit(runner.run())
"""


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_a_request_to_stop_before_all_have_started_stops_all() -> None:
    result = run_script(ASKED_BEFORE_IT_KNOWS)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("one", "two"):
        assert f"{name} stopped" in result.stdout


FAILS_AMID = """
import os, pathlib

from project.runner import Runner

class Failing(Runner):
    def {where}(self):
        super().{where}()
        raise RuntimeError("a mistake of ours")

runner = Failing(1)
runner.add("one", "echo $$ > {pid_file}; exec sleep 60", os.environ, pathlib.Path.cwd())
runner.run()
"""


@pytest.mark.parametrize("where", ["_start", "_all_started"])
def test_a_mistake_ends_it_and_what_it_runs(tmp_path: Path, where: str) -> None:
    pid_file = tmp_path / "pid"
    result = run_script(FAILS_AMID.format(pid_file=pid_file, where=where))
    assert result.returncode == 1
    assert "a mistake of ours" in result.stderr
    assert not is_alive_after_all(pid_file)


LOG_IS_CLOSED = """
import os, pathlib, sys

from project.runner import Runner

runner = Runner(1)
runner.add("one", "echo $$ > {pid_file}; exec sleep 60", os.environ, pathlib.Path.cwd())
os.close(1)
sys.exit(runner.run())
"""


def test_a_log_that_nobody_reads_any_more_is_a_request_to_stop(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    result = run_script(LOG_IS_CLOSED.format(pid_file=pid_file))
    assert (result.returncode, result.stderr) == (0, "")
    assert not is_alive_after_all(pid_file)


def is_alive_after_all(pid_file: Path) -> bool:
    """Return whether the process lives that wrote its id; it may have ended before it did."""
    return pid_file.exists() and (pid := pid_file.read_text()) != "" and is_alive(int(pid))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
