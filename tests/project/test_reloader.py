"""What `manage.py dev` runs its processes with; test_dev.py has the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from project.reloader import Reloader, _exists
from tests.forking import ROOT
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("ending", "status"), [("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_an_error_without_a_change_ends_it_with_the_same_status(
    tmp_path: Path, ending: str, status: int
) -> None:
    command = [sys.executable, "-m", "project.reloader", f"--owner={os.getpid()}"]
    command += [f"--watch={tmp_path}", "--", "/bin/sh", "-c", ending]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == status


def test_one_that_was_killed_and_not_waited_for_counts_as_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not _exists(process.pid)
    assert _exists(os.getpid())


def test_a_command_that_does_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project.reloader.PATIENCE", 0.1)
    ready = tmp_path / "ready"
    deaf = "trap '' TERM; : > \"$0\"; while :; do sleep 0.1; done"
    reloader = Reloader(["/bin/sh", "-c", deaf, str(ready)], os.getpid())
    reloader.start()
    wait_for(ready.exists)
    assert reloader.stop() == 128 + signal.SIGKILL
