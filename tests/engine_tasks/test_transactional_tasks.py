"""Tasks that end in the transaction of their work; the worker runs in this process."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction

from joblogs.engine.batch import transactional
from joblogs.engine.immediate import run_now
from joblogs.engine.retry import ExponentialBackoff
from joblogs.models import Job, JobLog
from tests.jobs import outcomes
from tests.sql import elsewhere, transactions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from procrastinate import JobContext

pytestmark = pytest.mark.django_db(transaction=True)


def break_at_commit() -> None:
    """Do what PostgreSQL notices only at the commit, as it does for Django's foreign keys."""
    Group.permissions.through.objects.create(group_id=0, permission_id=0)


def test_the_work_and_the_end_of_the_job_are_one_transaction(
    task: Callable[..., Any], run_jobs: Callable[..., None], lines: Callable[..., list[str]]
) -> None:
    @transactional
    def work(context: JobContext, *, name: str) -> str:
        Group.objects.create(name=name)
        return f"made by {context.job.id}"

    pk = task(work, pass_context=True, lock="x").defer(name="a group")
    run_jobs()
    [committed] = transactions_of("auth_group", "name", "a group")
    assert transactions_of("job_logs", "job_id", pk) == {committed}
    assert transactions_of("procrastinate_jobs", "id", pk) == {committed}
    job = Job.objects.get(pk=pk)
    assert (job.status, job.attempts, job.worker_id) == ("succeeded", 1, None)
    assert JobLog.objects.get(job_id=pk).result == f"made by {pk}"
    [line] = lines("tests.work")
    assert f"job={pk} succeeded" in line


def test_an_ordinary_task_ends_in_a_transaction_of_its_own(
    task: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    def work() -> None:
        Group.objects.create(name="a group")

    pk = task(work).defer()
    run_jobs()
    assert transactions_of("job_logs", "job_id", pk) != transactions_of(
        "auth_group", "name", "a group"
    )


@pytest.mark.parametrize("how", ["raises", "at the commit", "no JSON", "swallows"])
def test_nothing_stays_of_work_that_failed(
    task: Callable[..., Any], run_jobs: Callable[..., None], how: str
) -> None:
    @transactional
    def work() -> Any:
        Group.objects.create(name="a group")
        match how:
            case "raises":
                raise ValueError("no")
            case "at the commit":
                break_at_commit()
            case "no JSON":
                return object()
            case "swallows":
                with suppress(IntegrityError):  # but the transaction is lost
                    Group.objects.create(name="a group")
        return None

    pk = task(work).defer()
    run_jobs()
    assert not Group.objects.exists()
    assert Job.objects.get(pk=pk).status == "failed"
    assert outcomes(pk) == [(1, "failed")]
    log = JobLog.objects.get(job_id=pk)
    assert (log.error_class, log.result) == (
        {
            "raises": "ValueError",
            "at the commit": "django.db.utils.IntegrityError",
            "no JSON": "joblogs.engine.attempt.NotJSONError",
            "swallows": "django.db.transaction.TransactionManagementError",
        }[how],
        None,
    )


def test_it_is_retried_by_its_rule(task: Callable[..., Any], run_jobs: Callable[..., None]) -> None:
    @transactional
    def work() -> None:
        Group.objects.create(name="a group")
        if JobLog.objects.count() == 0:
            break_at_commit()

    pk = task(work, retry=ExponentialBackoff()).defer()
    run_jobs()
    assert Job.objects.get(pk=pk).status == "todo"
    elsewhere("UPDATE procrastinate_jobs SET scheduled_at = NULL")
    run_jobs()
    assert outcomes(pk) == [(1, "failed"), (2, "succeeded")]
    assert Group.objects.count() == 1


def test_a_job_that_it_defers_exists_if_it_commits(
    task: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    ran: list[int] = []

    def follow(*, n: int) -> None:
        ran.append(n)

    following = task(follow)

    @transactional
    def lead(*, n: int) -> None:
        following.defer(n=n)
        if n == 2:
            raise ValueError

    leading = task(lead)
    for n in (1, 2):
        leading.defer(n=n)
    run_jobs()
    run_jobs()
    assert ran == [1]


def test_what_fails_after_the_commit_leaves_the_job_ended_once(
    task: Callable[..., Any], run_jobs: Callable[..., None], lines: Callable[..., list[str]]
) -> None:
    def fail() -> None:
        raise ValueError("too late")

    @transactional
    def work() -> None:
        Group.objects.create(name="a group")
        transaction.on_commit(fail)

    pk = task(work, retry=True).defer()
    run_jobs()
    assert Group.objects.count() == 1
    assert Job.objects.get(pk=pk).status == "succeeded"
    assert outcomes(pk) == [(1, "succeeded")]
    [line] = lines("tests.work")
    assert f"job={pk} succeeded" in line


@pytest.mark.parametrize("condition", ["always", "successful"])
def test_a_worker_that_deletes_its_jobs_deletes_these_too(
    task: Callable[..., Any], run_jobs: Callable[..., None], condition: str
) -> None:
    @transactional
    def work(*, good: bool) -> None:
        Group.objects.create(name=f"{good}")
        if not good:
            break_at_commit()

    working = task(work)
    good, bad = working.defer(good=True), working.defer(good=False)
    run_jobs(delete_jobs=condition)
    left = set(Job.objects.values_list("pk", flat=True))
    assert left == (set() if condition == "always" else {bad})
    assert (outcomes(good), outcomes(bad)) == ([(1, "succeeded")], [(1, "failed")])


def test_run_now_gives_it_a_transaction(task: Callable[..., Any]) -> None:
    seen: list[bool] = []

    @transactional
    def work(*, good: bool) -> str:
        seen.append(connection.in_atomic_block)
        Group.objects.create(name="a group")
        if not good:
            raise ValueError("bad")
        return "done"

    working = task(work)
    with pytest.raises(ValueError, match="bad"):
        run_now(working, good=False)
    assert not Group.objects.exists()
    assert run_now(working, good=True) == "done"
    assert Group.objects.exists()
    assert seen == [True, True]


def test_coroutines_are_refused_when_it_is_declared() -> None:
    async def swim() -> None: ...

    with pytest.raises(ImproperlyConfigured, match="swim is async"):
        transactional(swim)


def test_a_middleware_that_fails_after_the_commit_does_not_undo_it(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    lines: Callable[..., list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def careless(call_next: Any, context: JobContext, worker: object) -> Any:
        call_next()
        raise ValueError("forgotten")

    @transactional
    def work() -> None:
        Group.objects.create(name="a group")

    pk = task(work, retry=3, task_middleware=[careless]).defer()
    run_jobs()
    assert outcomes(pk) == [(1, "succeeded")]
    assert Group.objects.count() == 1
    [line] = lines("tests.work")
    assert "succeeded" in line
    assert "A middleware of tests.work failed after the commit." in caplog.text
