"""Workers that poll every ten minutes, and are woken for what they have to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from joblogs.models import Job
from tests.engine_processes.jobs import counted_outcomes, effects, job
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import SELDOM

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine_processes.gate import Gate
    from tests.processes import Process

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_idle_worker_is_woken_by_whoever_defers(start: Callable[..., Process]) -> None:
    start(*SELDOM, "-q", "default")
    job("note").defer(number=1)
    wait_for(lambda: effects() == [1])


@pytest.mark.parametrize(
    "task", ["defer_note", "defer_note_asynchronously", "defer_note_exactly_once"]
)
def test_a_job_deferred_inside_a_task_wakes_its_worker(
    start: Callable[..., Process], task: str
) -> None:
    start(*SELDOM, "-q", "low")
    start(*SELDOM, "-q", "default")
    for number in range(1, 4):
        job(task).defer(number=number, queue="low")
        wait_for(lambda: len(effects()) == number)  # noqa: B023  # called at once


def test_a_retry_rule_that_wants_no_pause_gets_none(start: Callable[..., Process]) -> None:
    start(*SELDOM, "-q", "default")
    job("note_at_the_second_attempt").defer(number=1)
    wait_for(lambda: effects() == [1])
    wait_for(lambda: counted_outcomes() == {(1, "failed"): 1, (2, "succeeded"): 1})


def test_a_job_retried_by_a_person_wakes_its_worker(start: Callable[..., Process]) -> None:
    pk = job("note", queue="low").defer(number=1)
    Job.objects.filter(pk=pk).cancel()
    start(*SELDOM, "-q", "low")
    start(*SELDOM, "-q", "default")
    assert Job.objects.filter(pk=pk).retry().jobs
    wait_for(lambda: effects() == [1])


def leave_behind_by_a_dead_worker(pk: int, *, abort_requested: bool = False) -> None:
    """Make a job look as if its worker had died, and its row been deleted."""
    execute(
        "UPDATE procrastinate_jobs SET status = 'doing', abort_requested = %s WHERE id = %s",
        abort_requested,
        pk,
    )


def test_a_rescued_job_wakes_the_worker_of_its_queue(
    start: Callable[..., Process], rescue: Callable[..., Process]
) -> None:
    leave_behind_by_a_dead_worker(job("note").defer(number=1))
    start(*SELDOM, "-q", "default")
    rescue(*SELDOM, "-q", "high")
    wait_for(lambda: effects() == [1])


@pytest.mark.parametrize(
    ("task", "flags"),
    [
        ("note", []),
        ("note", ["--delete-jobs", "always"]),
        ("note_together", []),
        ("fail_behind_the_gate", []),
    ],
)
def test_a_job_whose_lock_is_free_wakes_its_queues_worker(
    start: Callable[..., Process],
    gate: Gate,
    task: str,
    flags: list[str],
) -> None:
    gate.close()
    job(task, lock="only one").defer(number=1, stop="inside")
    job("note", lock="only one", queue="low").defer(number=2)
    start(*SELDOM, *flags, "-q", "default")
    start(*SELDOM, *flags, "-q", "low")
    gate.wait_for_visitors()
    assert effects() == []
    gate.open()
    wait_for(lambda: 2 in effects())


def test_a_job_starts_when_a_lock_of_its_queue_is_free(
    start: Callable[..., Process], gate: Gate
) -> None:
    gate.close()
    job("note", lock="only one").defer(number=1, stop="inside")
    job("note", lock="only one").defer(number=2)
    start(*SELDOM, "-q", "default")
    gate.wait_for_visitors()
    gate.open()
    wait_for(lambda: effects() == [1, 2])


def test_a_lock_that_a_rescue_frees_wakes_who_waits_behind_it(
    start: Callable[..., Process], rescue: Callable[..., Process]
) -> None:
    # Somebody asked for it to be aborted, so it does not run again.
    lost = job("note", lock="only one").defer(number=1)
    leave_behind_by_a_dead_worker(lost, abort_requested=True)
    job("note", lock="only one", queue="low").defer(number=2)
    start(*SELDOM, "-q", "low")
    rescue(*SELDOM, "-q", "high")
    wait_for(lambda: Job.objects.get(pk=lost).status == "aborted")
    wait_for(lambda: effects() == [2])


def test_a_rescued_job_with_a_queued_twin_frees_its_lock(
    start: Callable[..., Process], rescue: Callable[..., Process]
) -> None:
    lost = job("note", lock="only one", queueing_lock="twin").defer(number=1)
    leave_behind_by_a_dead_worker(lost)
    job("note", lock="another", queueing_lock="twin", schedule_in={"days": 1}).defer(number=3)
    job("note", lock="only one", queue="low").defer(number=2)
    start(*SELDOM, "-q", "low")
    rescue(*SELDOM, "-q", "high")
    wait_for(lambda: Job.objects.get(pk=lost).status == "failed")
    wait_for(lambda: effects() == [2])
