"""Ordinary tasks, whose work is one transaction and whose end is another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine_processes.jobs import counted_outcomes, effects, job, states
from tests.engine_processes.sessions import terminate
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine_processes.gate import Gate
    from tests.processes import Process

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_whose_worker_dies_before_its_end_runs_again(
    gate: Gate, start: Callable[..., Process], rescue: Callable[..., Process]
) -> None:
    job("note").defer(number=1)
    gate.close(at="ending")
    worker = start("-q", "default", "--no-listen-notify")
    [backend] = gate.wait_for_visitors()
    worker.process.kill()
    worker.process.wait()
    terminate([backend])
    wait_for(lambda: not gate.visitors())
    gate.open()
    assert (states(), effects()) == ({"doing"}, [1])

    rescue()
    wait_for(lambda: states() == {"succeeded"})
    assert effects() == [1, 1]
    assert counted_outcomes() == {(1, "lost"): 1, (2, "succeeded"): 1}
