"""Sessions that have expired are deleted every night."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.jobs import Job as ProcrastinateJob

from accounts import tasks
from accounts.tasks import delete_expired_sessions
from joblogs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SESSIONS_PER_STATEMENT", 10)


def make_sessions(number: int, *, days: int) -> None:
    """Make sessions that expire in so many days."""
    expire_date = timezone.now() + timedelta(days=days)
    Session.objects.bulk_create(
        Session(session_key=f"{days} {index}", expire_date=expire_date) for index in range(number)
    )


def test_a_worker_deletes_expired_sessions_and_no_others(run_jobs: Callable[..., None]) -> None:
    make_sessions(25, days=-1)
    make_sessions(3, days=1)
    job_id = app.configure_task(delete_expired_sessions.name).defer(timestamp=0)
    run_jobs(queues=["low"])
    assert Job.objects.get(pk=job_id).status == "succeeded"
    assert Session.objects.count() == 3
    assert not Session.objects.filter(expire_date__lt=timezone.now()).exists()


def context(*aborted: bool) -> JobContext:
    """A job of which an abortion is asked for at the given looks at it."""
    looks = iter(aborted)
    return JobContext(
        app=app,
        job=ProcrastinateJob(
            task_name=delete_expired_sessions.name, queue="low", lock=None, queueing_lock=None
        ),
        start_timestamp=0,
        abort_reason=lambda: AbortReason.USER_REQUEST if next(looks) else None,
    )


@pytest.mark.parametrize(("number", "statements"), [(0, 1), (9, 1), (10, 2), (25, 3)])
def test_no_statement_deletes_more_than_a_batch(number: int, statements: int) -> None:
    make_sessions(number, days=-1)
    with CaptureQueriesContext(connection) as queries:
        said = delete_expired_sessions(context(*[False] * statements), timestamp=0)
    assert said == f"deleted {number} expired sessions"
    deletions = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
    assert len(deletions) == statements


def test_it_stops_between_batches_when_it_is_asked_to() -> None:
    make_sessions(25, days=-1)
    said = delete_expired_sessions(context(False, True), timestamp=0)
    assert said == "deleted 10 expired sessions"
    assert Session.objects.count() == 15


def test_it_runs_every_night_and_waits_at_most_once() -> None:
    periodic = app.periodic_registry.periodic_tasks[delete_expired_sessions.name, ""]
    assert periodic.cron == "17 3 * * *"
    assert delete_expired_sessions.queueing_lock == "delete_expired_sessions"
