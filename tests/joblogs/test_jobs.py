"""What a worker does with jobs; the worker runs in this process."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from joblogs.engine.retry import ExponentialBackoff
from joblogs.models import Job, UserLog
from joblogs.tasks import create_user_log
from tests.jobs import jobs_of
from tests.processes import database_url
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from procrastinate import JobContext

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_writes_the_log_of_its_user(run_jobs: Callable[..., None]) -> None:
    user = User.objects.create_user("alice")
    run_jobs()
    [job] = jobs_of(user.pk)
    assert job.status == "succeeded"
    assert UserLog.objects.get().user == user
    assert UserLog.objects.get().job_id == job.pk


def test_a_job_that_runs_twice_writes_one_log(run_jobs: Callable[..., None]) -> None:
    user = User.objects.create_user("alice")
    run_jobs()
    [job] = jobs_of(user.pk)
    # As after a crash between the log and the job's end.
    execute("UPDATE procrastinate_jobs SET status = 'todo' WHERE id = %s", job.pk)
    run_jobs()
    assert jobs_of(user.pk)[0].attempts == 2
    assert UserLog.objects.get().job_id == job.pk


def test_a_job_whose_user_was_deleted_is_done_and_says_so(
    run_jobs: Callable[..., None], records: Callable[..., list[logging.LogRecord]]
) -> None:
    user = User.objects.create_user("alice")
    pk = user.pk
    user.delete()
    run_jobs()
    assert [job.status for job in jobs_of(pk)] == ["succeeded"]
    [line] = records(create_user_log.name)
    assert f"user {pk} was deleted, there is nothing to log" in line.getMessage()


def test_each_job_leaves_one_line_with_all_there_is_to_know(
    run_jobs: Callable[..., None], records: Callable[..., list[logging.LogRecord]]
) -> None:
    user = User.objects.create_user("alice")
    [job] = jobs_of(user.pk)
    run_jobs()
    [line] = records(create_user_log.name)
    assert line.levelno == logging.INFO
    assert re.fullmatch(
        rf"joblogs\.tasks\.create_user_log job={job.pk} succeeded waited=\d+\.\d{{3}}s"
        rf' ran=\d+\.\d{{3}}s args=\{{"user_id": {user.pk}\}}',
        line.getMessage(),
    )


def test_the_line_says_how_long_a_job_was_ready_not_planned(
    run_jobs: Callable[..., None], records: Callable[..., list[logging.LogRecord]]
) -> None:
    user = User.objects.create_user("alice")
    now = timezone.now()
    execute(
        "UPDATE procrastinate_events SET at = %s; UPDATE procrastinate_jobs SET scheduled_at = %s",
        now - timedelta(hours=2),
        now - timedelta(hours=1),
    )
    create_user_log.defer(user_id=user.pk)
    run_jobs()
    waits = [
        float(match[1])
        for line in records(create_user_log.name)
        if (match := re.search(r"waited=([\d.]+)s", line.getMessage()))
    ]
    assert sorted(round(wait / 60) for wait in waits) == [0, 60]


def test_a_failing_job_is_retried_ever_later_then_fails(
    run_jobs: Callable[..., None],
    records: Callable[..., list[logging.LogRecord]],
    task: Callable[..., Any],
) -> None:
    def fail() -> None:
        raise ValueError("the printer\nis on fire")

    strategy = ExponentialBackoff(max_retries=2)
    job_id = task(fail, retry=strategy).defer()
    waits = []
    for _ in range(3):
        started = timezone.now()
        run_jobs()
        job = Job.objects.get(pk=job_id)
        if job.scheduled_at and job.status == "todo":
            waits.append((job.scheduled_at - started).total_seconds())
        execute("UPDATE procrastinate_jobs SET scheduled_at = NULL")

    first, second = waits
    assert 1.5 <= first <= 4
    assert 4.5 <= second <= 9
    assert (job.status, job.attempts) == ("failed", 3)

    *retried, failed = records("tests.fail")
    assert [line.levelno for line in retried] == [logging.WARNING] * 2
    assert all("attempt" in line.getMessage() and line.exc_info for line in retried)
    assert failed.levelno == logging.ERROR
    assert failed.exc_info
    assert r"detail='ValueError: the printer\nis on fire'" in failed.getMessage()
    assert "\n" not in failed.getMessage()


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(0, 2), (1, 6), (2, 18), (3, 54), (4, 162), (5, 486), (6, 1_458), (7, 3_600), (9, 3_600)],
)
def test_retries_wait_exponentially_longer_up_to_an_hour(attempts: int, seconds: float) -> None:
    strategy = create_user_log.retry_strategy
    assert strategy
    waits = []
    for _ in range(50):
        decision = strategy.get_retry_decision(
            exception=ValueError(), job=create_user_log.configure().job.evolve(attempts=attempts)
        )
        assert decision
        assert decision.retry_at
        waits.append((decision.retry_at - timezone.now()).total_seconds())
    assert seconds * 0.75 - 1 <= min(waits) < max(waits) <= seconds * 1.25
    assert max(waits) - min(waits) > seconds * 0.1


def test_the_eleventh_failure_is_the_last() -> None:
    strategy = create_user_log.retry_strategy
    assert strategy
    job = create_user_log.configure().job.evolve(attempts=10)
    assert strategy.get_retry_decision(exception=ValueError(), job=job) is None


def test_a_job_deferred_inside_a_task_waits_for_the_tasks_commit(
    run_jobs: Callable[..., None], task: Callable[..., Any]
) -> None:
    seen: list[int] = []

    def dawdle() -> None:
        with transaction.atomic():
            user = User.objects.create_user("latecomer")
            # Everything that another process can see while this one dawdles.
            with psycopg.connect(database_url()) as other:
                query = "SELECT count(*) FROM procrastinate_jobs WHERE args = %s"
                row = other.execute(query, [psycopg.types.json.Jsonb({"user_id": user.pk})])
                seen.append(row.fetchone()[0])  # type: ignore[index]  # one row

    task(dawdle).defer()
    run_jobs()
    assert seen == [0]
    run_jobs()
    user = User.objects.get(username="latecomer")
    assert [job.status for job in jobs_of(user.pk)] == ["succeeded"]
    assert UserLog.objects.filter(user=user).count() == 1


def test_a_job_of_a_task_that_rolls_back_does_not_exist(
    run_jobs: Callable[..., None], task: Callable[..., Any]
) -> None:
    def regret() -> None:
        with transaction.atomic():
            User.objects.create_user("nobody")
            raise ValueError

    job_id = task(regret).defer()
    run_jobs()
    assert Job.objects.get(pk=job_id).status == "failed"
    assert not User.objects.exists()
    assert not Job.objects.filter(task_name=create_user_log.name).exists()


def test_an_asynchronous_task_creates_users_with_their_jobs_too(
    run_jobs: Callable[..., None], task: Callable[..., Any]
) -> None:
    async def create() -> None:
        await User.objects.acreate(username="alice")

    task(create).defer()
    run_jobs()
    run_jobs()
    assert UserLog.objects.get().user.username == "alice"


def test_one_job_is_found_by_its_user_through_an_index_among_many() -> None:
    User.objects.bulk_create([User(username=f"user{number}") for number in range(3_000)])
    user = User.objects.latest("id")
    execute("ANALYZE procrastinate_jobs")
    plan = Job.objects.about_user(user.pk).explain()
    assert "joblogs_jobs_about_user_idx" in plan
    assert [job.args for job in Job.objects.about_user(user.pk)] == [{"user_id": user.pk}]


def test_a_task_can_know_its_job(run_jobs: Callable[..., None], task: Callable[..., Any]) -> None:
    seen: list[int | None] = []

    def look(context: JobContext) -> None:
        seen.append(context.job.id)

    job_id = task(look, pass_context=True).defer()
    run_jobs()
    assert seen == [job_id]
