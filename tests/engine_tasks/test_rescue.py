"""Jobs of workers that died, or of nobody, run again; the worker runs in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import User
from joblogs.models import UserLog
from tests.jobs import jobs_of, outcomes, statuses
from tests.sql import elsewhere
from tests.workers import SOON, give_to_a_worker

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_jobs_of_a_worker_that_is_silent_run_again(
    run_worker: Callable[..., None],
) -> None:
    alice, bob = (User.objects.create_user(name) for name in ("alice", "bob"))
    [lost], [kept] = jobs_of(alice.pk), jobs_of(bob.pk)
    give_to_a_worker(lost.pk)
    living = give_to_a_worker(kept.pk)

    def until() -> bool:
        elsewhere("UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s", living)
        return len(outcomes(lost.pk)) == 2

    until()
    run_worker(until, **SOON)
    assert outcomes(lost.pk) == [(1, "lost"), (2, "succeeded")]
    assert UserLog.objects.get().user == alice
    assert (statuses(kept.pk), outcomes(kept.pk)) == (["doing"], [])


def test_a_job_that_cannot_be_rescued_does_not_keep_the_others(
    task: Callable[..., Any], run_worker: Callable[..., None]
) -> None:
    def idle() -> None: ...

    first = User.objects.create_user("alice")
    idle_task = task(idle)
    blocked = idle_task.configure(queueing_lock="one").defer()
    last = User.objects.create_user("bob")
    # Of no worker.
    elsewhere("UPDATE procrastinate_jobs SET status = 'doing'")
    # Its queueing lock is taken by a job that waits.
    idle_task.configure(queueing_lock="one", schedule_in={"hours": 1}).defer()
    run_worker(until=lambda: UserLog.objects.count() == 2, **SOON)
    assert statuses(blocked) == ["failed"]
    assert outcomes(blocked) == [(1, "lost")]
    assert sorted(UserLog.objects.values_list("user_id", flat=True)) == [first.pk, last.pk]


def test_a_worker_whose_slots_are_all_taken_rescues_all_the_same(
    task: Callable[..., Any], run_worker: Callable[..., None]
) -> None:
    rescued = threading.Event()

    def work() -> None:
        assert rescued.wait(20)

    working = task(work)
    lost, busy, behind = (working.defer() for _ in range(3))
    give_to_a_worker(lost)

    def until() -> bool:
        if outcomes(lost) and not rescued.is_set():
            assert statuses(lost, busy, behind) == ["todo", "doing", "todo"]
            rescued.set()
        return bool(outcomes(behind))

    run_worker(until, concurrency=1, **SOON)
    assert [outcomes(pk) for pk in (busy, behind)] == [[(1, "succeeded")]] * 2
    assert outcomes(lost) == [(1, "lost"), (2, "succeeded")]
