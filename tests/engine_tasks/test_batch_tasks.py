"""Tasks that do many jobs at a time; the worker runs in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from procrastinate.contrib.django import app
from procrastinate.job_context import JobContext

from accounts.models import User
from joblogs.engine.batch import batch_task
from joblogs.engine.immediate import run_now
from joblogs.engine.retry import ExponentialBackoff
from joblogs.models import Job, JobLog, UserLog
from joblogs.tasks import create_user_log
from tests.jobs import jobs_of, outcomes, statuses
from tests.sql import elsewhere, transactions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblogs.engine.batch import BatchJob

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "tests.note"


@pytest.fixture
def calls() -> list[list[Any]]:
    """The values of `n` that each call of `note` was given."""
    return []


@pytest.fixture
def note(calls: list[list[Any]], batch: Callable[..., Any]) -> Callable[..., Any]:
    """Register a batch task that makes a group of each `n`: note(max_size=3, ...).

    `n="raise"` raises, and `n="commit"` makes what fails at the commit.
    """

    def note(jobs: Sequence[BatchJob]) -> None:
        numbers = [job.arguments["n"] for job in jobs]
        calls.append(numbers)
        Group.objects.bulk_create([Group(name=f"{number}") for number in numbers])
        if "commit" in numbers:
            # Django's foreign keys are checked at the commit.
            Group.permissions.through.objects.create(group_id=0, permission_id=0)
        if "raise" in numbers:
            raise ValueError("a bad one")

    def register(**options: Any) -> Any:
        return batch(note, **options)

    return register


def groups() -> set[str]:
    return set(Group.objects.values_list("name", flat=True))


def test_a_batch_takes_as_many_jobs_as_it_may_in_their_order(
    note: Callable[..., Any], calls: list[list[Any]], run_jobs: Callable[..., None]
) -> None:
    task = note(max_size=3)
    job_ids = [task.configure(priority=int(n == 6)).defer(n=n) for n in range(7)]
    run_jobs(concurrency=1)
    assert calls == [[6, 0, 1], [2, 3, 4], [5]]
    assert statuses(*job_ids) == ["succeeded"] * 7


def test_one_transaction_holds_the_work_and_the_ends_of_a_batch(
    note: Callable[..., Any],
    calls: list[list[Any]],
    run_jobs: Callable[..., None],
    lines: Callable[..., list[str]],
) -> None:
    task = note()
    job_ids = [task.configure(lock=f"lock {n}").defer(n=n) for n in range(20)]
    run_jobs()
    assert calls == [list(range(20))]
    [transaction] = transactions_of("auth_group", "name", *map(str, range(20)))
    assert transactions_of("job_logs", "job_id", *job_ids) == {transaction}
    assert transactions_of("procrastinate_jobs", "id", *job_ids) == {transaction}
    assert JobLog.objects.count() == 20
    assert [Job.objects.get(pk=pk).attempts for pk in job_ids] == [1] * 20
    assert [Job.objects.get(pk=pk).worker_id for pk in job_ids] == [None] * 20
    assert len(lines(NAME)) == 20
    assert all(" succeeded " in line for line in lines(NAME))


def test_jobs_of_two_queues_are_never_in_one_batch(
    note: Callable[..., Any], calls: list[list[Any]], run_jobs: Callable[..., None]
) -> None:
    task = note()
    for n in range(6):
        task.configure(queue=f"queue{n % 2}").defer(n=n)
    run_jobs(concurrency=1)
    assert sorted(calls) == [[0, 2, 4], [1, 3, 5]]


def test_of_jobs_that_share_a_lock_a_batch_takes_the_first(
    note: Callable[..., Any], calls: list[list[Any]], run_jobs: Callable[..., None]
) -> None:
    task = note()
    for n, lock in enumerate(["x", "x", "y", "x", "y", None]):
        task.configure(lock=lock).defer(n=n)
    run_jobs(concurrency=1)
    assert calls[0] == [0, 2, 5]
    while len(groups()) < 6:
        run_jobs(concurrency=1)
    assert calls == [[0, 2, 5], [1, 4], [3]]


def test_a_batch_takes_one_slot(
    batch: Callable[..., Any], task: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    neighbour_ran = threading.Event()
    running: list[int] = []
    most: list[int] = []

    def wait(jobs: Sequence[BatchJob]) -> None:
        running.append(1)
        most.append(len(running))
        assert neighbour_ran.wait(10)
        running.pop()

    waiting = batch(wait, max_size=2)
    job_ids = [waiting.defer(n=n) for n in range(2)]
    task(lambda: neighbour_ran.set()).defer()
    job_ids += [waiting.defer(n=n) for n in range(4)]
    run_jobs(concurrency=2)
    assert statuses(*job_ids) == ["succeeded"] * 6
    assert len(most) == 3
    assert max(most) <= 2


@pytest.mark.parametrize("bad", ["raise", "commit"])
def test_only_the_bad_ones_of_a_batch_fail(
    note: Callable[..., Any],
    calls: list[list[Any]],
    run_jobs: Callable[..., None],
    lines: Callable[..., list[str]],
    warnings: Callable[[], list[str]],
    bad: str,
) -> None:
    task = note()
    job_ids = [task.defer(n=n) for n in [1, bad, 2]]
    run_jobs(concurrency=1)
    assert calls == [[1, bad, 2], [1], [bad], [2]]
    assert groups() == {"1", "2"}
    assert statuses(*job_ids) == ["succeeded", "failed", "succeeded"]
    assert [outcomes(pk) for pk in job_ids] == [
        [(1, "succeeded")],
        [(1, "failed")],
        [(1, "succeeded")],
    ]
    log = JobLog.objects.get(job_id=job_ids[1])
    assert log.error_class == ("ValueError" if bad == "raise" else "django.db.utils.IntegrityError")
    assert log.error_message
    assert len(lines(NAME)) == 3
    assert any("running them one by one" in warning for warning in warnings())


def test_each_bad_job_of_a_batch_follows_its_own_retry_rule(
    note: Callable[..., Any], calls: list[list[Any]], run_jobs: Callable[..., None]
) -> None:
    task = note(retry=ExponentialBackoff(max_retries=3))
    first, last, good = task.defer(n="raise"), task.defer(n="raise"), task.defer(n=1)
    elsewhere("UPDATE procrastinate_jobs SET attempts = 3 WHERE id = %s", last)
    run_jobs()
    assert statuses(first, last, good) == ["todo", "failed", "succeeded"]
    assert Job.objects.get(pk=first).scheduled_at is not None
    assert (outcomes(first), outcomes(last)) == ([(1, "failed")], [(4, "failed")])


def test_each_job_keeps_the_result_it_was_given(
    batch: Callable[..., Any], run_jobs: Callable[..., None], lines: Callable[..., list[str]]
) -> None:
    def double(jobs: Sequence[BatchJob]) -> None:
        for job in jobs:
            n: Any = job.arguments["n"]
            job.result = {"id": job.id, "double": 2 * n, "attempt": job.attempt}

    task = batch(double)
    job_ids = [task.defer(n=n) for n in range(3)]
    run_jobs()
    for n, pk in enumerate(job_ids):
        expected = {"id": pk, "double": 2 * n, "attempt": 1}
        assert JobLog.objects.get(job_id=pk).result == expected
        assert f"detail={expected}" in next(
            line for line in lines("tests.double") if f"={pk} " in line
        )


def test_a_result_that_is_not_json_costs_its_job_alone(
    batch: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    def answer(jobs: Sequence[BatchJob]) -> None:
        for job in jobs:
            Group.objects.create(name=str(job.arguments["n"]))
            job.result = object() if job.arguments["n"] == 1 else job.arguments["n"]

    task = batch(answer)
    job_ids = [task.defer(n=n) for n in range(3)]
    run_jobs()
    assert statuses(*job_ids) == ["succeeded", "failed", "succeeded"]
    assert groups() == {"0", "2"}
    assert "which is not JSON" in JobLog.objects.get(job_id=job_ids[1]).error_message


def test_middleware_runs_once_around_a_batch(
    note: Callable[..., Any], calls: list[list[Any]], run_jobs: Callable[..., None]
) -> None:
    around: list[str] = []

    def of_the_task(call_next: Any, context: JobContext, worker: object) -> Any:
        around.append("task")
        return call_next()

    async def of_the_worker(call_next: Any, context: JobContext, worker: object) -> Any:
        around.append("worker")
        return await call_next()

    task = note(task_middleware=[of_the_task])
    for n in range(5):
        task.defer(n=n)
    run_jobs(worker_middleware=[of_the_worker])
    assert around == ["worker", "task"]
    assert calls == [[0, 1, 2, 3, 4]]


def test_users_who_were_deleted_cost_the_others_of_a_batch_nothing(
    run_jobs: Callable[..., None],
) -> None:
    users = [User.objects.create_user(f"user{n}") for n in range(4)]
    gone = users[1].pk
    users[1].delete()
    misfit = create_user_log.configure(task_kwargs={"user": 1}).defer()
    run_jobs()
    assert UserLog.objects.count() == 3
    [job] = jobs_of(gone)
    assert job.status == "succeeded"
    assert JobLog.objects.get(job_id=job.pk).result == (
        f"user {gone} was deleted, there is nothing to log"
    )
    assert Job.objects.get(pk=misfit).status == "todo"
    assert JobLog.objects.get(job_id=misfit).error_class == "TypeError"


def test_run_now_is_a_batch_of_one_in_the_callers_transaction(
    batch: Callable[..., Any],
) -> None:
    seen: list[tuple[object, ...]] = []

    def greet(jobs: Sequence[BatchJob]) -> None:
        [job] = jobs
        seen.append((job.id, job.arguments, job.attempt, job.context.should_abort()))
        Group.objects.create(name="greeted")
        n: Any = job.arguments["n"]
        if n < 0:
            raise ValueError("negative")
        job.result = "hello"

    task = batch(greet)
    assert run_now(task, n=1) == "hello"
    assert seen == [(None, {"n": 1}, 1, False)]
    assert groups() == {"greeted"}
    Group.objects.all().delete()
    with pytest.raises(ValueError, match="negative"):
        run_now(task, n=-1)
    assert groups() == set()
    job = task.configure().job.evolve(id=7, attempts=2)
    context = JobContext(app=app, job=job, start_timestamp=0.0, abort_reason=lambda: None)
    assert task(context, n=2) == "hello"
    assert seen[-1] == (7, {"n": 2}, 3, False)


def test_coroutines_and_contexts_are_refused_as_batch_tasks() -> None:
    async def swim(jobs: Sequence[BatchJob]) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="swim is async"):
        batch_task(name="tests.swim")(swim)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ImproperlyConfigured, match="use the context of each job"):
        batch_task(name="tests.swim", pass_context=True)
    with pytest.raises(ImproperlyConfigured, match="at least 1"):
        batch_task(name="tests.swim", max_size=0)
    assert "tests.swim" not in app.tasks
