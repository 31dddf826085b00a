"""What the page of a user says about the job that writes the log, until the log is there."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from joblogs.models import Job, UserLog
from joblogs.progress import SHOWN_LOGS, duration
from joblogs.tasks import create_user_log
from tests.jobs import jobs_of
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def set_job(user: User, **values: Any) -> int:
    """Change the user's job as a worker would; return its id."""
    [job] = jobs_of(user.pk)
    # Procrastinate's models refuse to write, a plain queryset does not.
    QuerySet(Job).filter(pk=job.pk).update(**values)
    return job.pk


def later(**delta: int) -> Any:
    return timezone.now() + timedelta(**delta)


@pytest.mark.parametrize(
    ("job", "state", "text", "poll_every"),
    [
        ({}, "waiting", "Waiting for a worker", "1s"),
        ({"status": "doing"}, "running", "Running", "1s"),
        ({"scheduled_at": (3600,)}, "scheduled", "Scheduled, runs in 59 minutes", "5s"),
        ({"scheduled_at": (5,)}, "scheduled", "Scheduled, runs in", "1s"),
        ({"scheduled_at": (-5,)}, "waiting", "Waiting for a worker", "1s"),
        ({"scheduled_at": (50,), "attempts": 1}, "retrying", "Failed once, runs again in", "5s"),
        ({"scheduled_at": (5,), "attempts": 3}, "retrying", "Failed 3 times, runs again", "1s"),
        ({"status": "failed", "attempts": 11}, "failed", "Failed 11 times, no log", None),
        ({"status": "cancelled"}, "cancelled", "Cancelled, no log was written", None),
        ({"status": "aborted"}, "aborted", "Aborted, no log was written", None),
    ],
)
def test_a_jobs_state_is_told_and_asked_for_while_it_changes(
    as_looker: Client,
    alice: User,
    job: dict[str, Any],
    state: str,
    text: str,
    poll_every: str | None,
) -> None:
    values = {
        name: timezone.now() + timedelta(seconds=value[0]) if isinstance(value, tuple) else value
        for name, value in job.items()
    }
    if values:
        set_job(alice, **values)
    response = as_looker.get(f"/users/{alice.pk}/logs/")
    assert response.context["progress"].state == state
    page = response.content.decode()
    assert text in page
    assert (f'hx-trigger="every {poll_every}"' in page) == bool(poll_every)
    assert ("hx-get" in page) == bool(poll_every)


def test_a_page_is_left_alone_until_something_changes(as_looker: Client, alice: User) -> None:
    url = f"/users/{alice.pk}/logs/"
    again = re.search(r'hx-get="([^"]+)"', as_looker.get(url).content.decode())
    assert again
    assert as_looker.get(again[1]).status_code == 204
    set_job(alice, status="doing")
    assert "Running" in as_looker.get(again[1]).content.decode()


def test_an_open_page_of_a_user_who_was_deleted_loads_again(as_looker: Client, alice: User) -> None:
    url = f"/users/{alice.pk}/logs/"
    alice.delete()
    response = as_looker.get(url, headers={"HX-Request": "true"})
    assert response.status_code == 204
    assert response["HX-Refresh"] == "true"


def test_a_job_that_waits_for_long_is_asked_about_less_often(
    as_looker: Client, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(created_at=later(minutes=-5))
    page = as_looker.get(f"/users/{alice.pk}/logs/").content.decode()
    assert 'hx-trigger="every 5s"' in page


def test_a_log_ends_the_asking_and_says_how_long_it_took(as_looker: Client, alice: User) -> None:
    job_id = set_job(alice, status="succeeded")
    UserLog.objects.write(user_id=alice.pk, job_id=job_id)
    UserLog.objects.update(created_at=alice.created_at + timedelta(milliseconds=14))
    page = as_looker.get(f"/users/{alice.pk}/logs/").content.decode()
    assert "Logged 14 ms after creation" in page
    assert "hx-get" not in page


def test_a_log_counts_though_its_job_has_not_ended(as_looker: Client, alice: User) -> None:
    UserLog.objects.write(user_id=alice.pk, job_id=set_job(alice, status="doing"))
    response = as_looker.get(f"/users/{alice.pk}/logs/")
    assert response.context["progress"].state == "logged"


def test_a_new_job_of_a_logged_user_is_shown(as_looker: Client, alice: User) -> None:
    UserLog.objects.write(user_id=alice.pk, job_id=set_job(alice, status="succeeded"))
    create_user_log.defer(user_id=alice.pk)
    response = as_looker.get(f"/users/{alice.pk}/logs/")
    assert response.context["progress"].state == "waiting"
    assert response.context["log_count"] == 1


def test_a_user_without_job_and_log_has_nothing_to_wait_for(as_looker: Client, alice: User) -> None:
    set_job(alice, status="succeeded")
    page = as_looker.get(f"/users/{alice.pk}/").content.decode()
    assert "hx-get" not in page
    assert "No log yet" in page


def test_a_job_of_another_task_about_the_user_is_not_the_logs_job(
    as_looker: Client, alice: User
) -> None:
    set_job(alice, task_name="another.task")
    assert as_looker.get(f"/users/{alice.pk}/logs/").context["progress"] is None


def test_the_latest_logs_of_a_user_are_found_through_an_index(alice: User) -> None:
    others = User.objects.bulk_create([User(username=f"user{number}") for number in range(300)])
    UserLog.objects.bulk_create(
        [UserLog(user=user, job_id=job_id) for user in [alice, *others] for job_id in range(20)]
    )
    execute("ANALYZE user_logs")
    plan = UserLog.objects.filter(user=alice)[:SHOWN_LOGS].explain()
    assert "user_logs_of_user_idx" in plan
    assert "Sort" not in plan


def test_a_page_shows_the_latest_ten_of_many_logs(
    as_looker: Client, alice: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    set_job(alice, status="succeeded")
    for job_id in range(12):
        UserLog.objects.write(user_id=alice.pk, job_id=job_id)
    # session, user, 2 for permissions, the account; its job, first log, count, latest logs
    with django_assert_num_queries(9):
        response = as_looker.get(f"/users/{alice.pk}/")
    assert "Latest 10 of 12 logs" in response.content.decode()


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (timedelta(milliseconds=-3), "0 ms"),
        (timedelta(milliseconds=14.4), "14 ms"),
        (timedelta(seconds=3.24), "3.2 s"),
        (timedelta(minutes=5, seconds=30), "5 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(days=3), "3 days"),
    ],
)
def test_durations_are_told_in_the_unit_that_fits(delta: timedelta, words: str) -> None:
    assert duration(delta) == words
