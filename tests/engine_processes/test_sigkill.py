"""Workers that die from one moment to the next, at each step of what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from joblogs.models import Job, JobLog, Worker
from tests.engine_processes.gate import AT_ITS_END
from tests.engine_processes.jobs import counted_outcomes, effects, job, states
from tests.engine_processes.sessions import terminate
from tests.sql import execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.engine_processes.gate import Gate
    from tests.processes import Process

NUMBERS = [1, 2, 3]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("task", ["note_together", "note_exactly_once"]),
]


def die_at(gate: Gate, start: Callable[..., Process], task: str, step: str) -> dict[int, str]:
    """Kill a worker while its jobs are at this step; return the backends that were at it."""
    for number in NUMBERS:
        job(task).defer(number=number, stop=step)
    gate.close(at=step if step in AT_ITS_END else "")
    worker = start("-q", "default", "--no-listen-notify")
    # Three jobs of a batch task are one batch.
    backends = gate.wait_for_visitors(1 if task == "note_together" else len(NUMBERS))
    assert states() == {"doing"}
    assert effects() == []
    worker.process.kill()
    worker.process.wait()
    return backends


def are_through(backends: Iterable[int]) -> bool:
    """Tell whether PostgreSQL is through with what these were doing."""
    return not execute("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", list(backends))


def assert_that_each_was_lost_and_then_done_once() -> None:
    wait_for(lambda: states() == {"succeeded"})
    assert effects() == NUMBERS
    assert counted_outcomes() == {(1, "lost"): len(NUMBERS), (2, "succeeded"): len(NUMBERS)}
    assert {each.attempts for each in Job.objects.filter(queue_name="default")} == {2}


@pytest.mark.parametrize("step", ["before", "inside", "ending"])
def test_jobs_of_a_worker_killed_before_the_commit_are_done_once(
    gate: Gate,
    start: Callable[..., Process],
    rescue: Callable[..., Process],
    task: str,
    step: str,
) -> None:
    backends = die_at(gate, start, task, step)
    gate.open()
    # Nobody was there to ask for the commit.
    wait_for(lambda: are_through(backends))
    assert states() == {"doing"}
    assert effects() == []
    assert counted_outcomes() == {}

    rescue()
    assert_that_each_was_lost_and_then_done_once()


def test_a_failed_commit_of_a_killed_worker_leaves_nothing(
    gate: Gate, start: Callable[..., Process], rescue: Callable[..., Process], task: str
) -> None:
    backends = die_at(gate, start, task, "commit")
    assert set(backends.values()) == {"COMMIT"}
    terminate(backends)
    wait_for(lambda: are_through(backends))
    gate.open()
    assert states() == {"doing"}
    assert effects() == []
    assert counted_outcomes() == {}

    rescue()
    assert_that_each_was_lost_and_then_done_once()


def test_a_commit_counts_though_its_worker_was_killed(
    gate: Gate, start: Callable[..., Process], rescue: Callable[..., Process], task: str
) -> None:
    backends = die_at(gate, start, task, "commit")
    assert set(backends.values()) == {"COMMIT"}
    gate.open()
    wait_for(lambda: are_through(backends))
    assert states() == {"succeeded"}
    assert effects() == NUMBERS
    assert counted_outcomes() == {(1, "succeeded"): len(NUMBERS)}

    rescue()
    # Of the two, the dead one is forgotten with what it had.
    assert Worker.objects.count() == 2
    wait_for(lambda: Worker.objects.count() == 1)
    job(task).defer(number=4)
    wait_for(lambda: 4 in effects())
    assert effects() == [*NUMBERS, 4]
    assert not JobLog.objects.filter(outcome="lost").exists()
