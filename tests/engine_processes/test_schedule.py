"""Jobs for later start when it is time, however seldom their worker polls."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from tests.engine_processes.jobs import effects, job
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import SELDOM

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tests.processes import Process

pytestmark = pytest.mark.django_db(transaction=True)

# Of what it is made for, far below: `manage.py benchmark latency` measures that. Nothing else would
# start these jobs so soon.
IN_TIME = timedelta(seconds=1)


def defer_in(seconds: float, task: str = "note", *, number: int = 1, **options: object) -> datetime:
    """Defer a job for later, and return when it is due."""
    due = timezone.now() + timedelta(seconds=seconds)
    job(task, schedule_at=due, **options).defer(number=number)
    return due


def began(number: int) -> datetime:
    """Return when this effect was there, by the database's clock."""
    wait_for(lambda: number in effects())
    [(at,)] = execute("SELECT at FROM effects WHERE number = %s", number)
    moment: datetime = at
    return moment


@pytest.mark.parametrize("task", ["note", "note_asynchronously", "note_together"])
def test_a_job_deferred_while_its_worker_is_idle_starts_in_time(
    start: Callable[..., Process], task: str
) -> None:
    start(*SELDOM, "-q", "default")
    job(task).defer(number=0)  # what it takes to do the first one is not what this is about
    began(0)
    due = defer_in(1.5, task)
    assert due <= began(1) < due + IN_TIME


def test_a_job_that_was_there_before_its_worker_starts_in_time(
    start: Callable[..., Process],
) -> None:
    job("note").defer(number=0)
    due = defer_in(5)
    start(*SELDOM, "-q", "default")
    began(0)
    assert due <= began(1) < due + IN_TIME


def assert_that_both_start_in_time() -> None:
    """Defer a job for later, then one of another queue for sooner."""
    job("note").defer(number=0)
    began(0)
    later = defer_in(2.5, number=2)
    earlier = defer_in(1, number=1, queue="low", priority=-5, lock="some lock")
    assert earlier <= began(1) < earlier + IN_TIME
    assert later <= began(2) < later + IN_TIME


def test_jobs_start_in_time_also_one_deferred_after_a_later_one(
    start: Callable[..., Process],
) -> None:
    start(*SELDOM, "-q", "default,low")
    assert_that_both_start_in_time()


def test_a_worker_of_all_queues_starts_jobs_in_time(start: Callable[..., Process]) -> None:
    start(*SELDOM)
    assert_that_both_start_in_time()


def test_a_retry_starts_in_time(start: Callable[..., Process]) -> None:
    start(*SELDOM, "-q", "default")
    job("note_a_second_later").defer(number=1)
    began(1)
    [(due,)] = execute("SELECT scheduled_at FROM procrastinate_jobs WHERE attempts > 0")
    assert due <= began(1) < due + IN_TIME


def test_a_worker_that_never_listens_starts_known_jobs_in_time(
    start: Callable[..., Process],
) -> None:
    due = defer_in(4)
    start(*SELDOM, "-q", "default", "--no-listen-notify")
    assert due <= began(1) < due + IN_TIME
