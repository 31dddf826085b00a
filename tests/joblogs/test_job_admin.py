"""The list of jobs in the admin, its columns and filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.sites import site
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob

from joblogs.models import Job
from joblogs.tasks import create_user_log
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_other_jobs")]

LIST = "/admin/joblogs/job/"


def changelist(response: Any) -> Any:
    return response.context["cl"]


def test_procrastinates_own_pages_are_gone() -> None:
    assert not site.is_registered(ProcrastinateJob)
    assert site.is_registered(Job)


def test_jobs_are_listed_newest_first_with_what_happened_last(
    as_administrator: Client, make_job: Callable[..., Job], administrator: User
) -> None:
    older = make_job("failed", args={"user_id": administrator.pk, "note": "<b>"})
    newer = make_job(schedule_in={"days": 1})
    response = as_administrator.get(LIST)
    assert [job.pk for job in changelist(response).result_list] == [newer.pk, older.pk]
    page = response.content.decode()
    assert f'<a href="/admin/accounts/user/{administrator.pk}/change/">administrator</a>' in page
    assert "user 1 (deleted)" in page
    assert "&lt;b&gt;" in page
    assert "job-state-failed" in page
    assert "job-state-scheduled" in page


def test_the_time_of_a_change_is_that_of_the_latest_event(
    make_job: Callable[..., Job], listed: Callable[..., Any]
) -> None:
    job = make_job("failed", schedule_in={"days": 1})
    Job.objects.all().retry()
    # Within one transaction all have the same time.
    execute(
        "UPDATE procrastinate_events SET at = timestamptz '2026-01-01 00:00Z'"
        " + (id - (SELECT min(id) FROM procrastinate_events)) * interval '1 hour'"
    )
    # The time of this one is that for which the job is scheduled.
    execute(
        "INSERT INTO procrastinate_events (job_id, type, at)"
        " VALUES (%s, 'scheduled', now() + interval '1 day')",
        job.pk,
    )
    retried = ProcrastinateEvent.objects.get(job_id=job.pk, type="retried")
    [shown] = listed().result_list
    assert shown.changed_at == retried.at


def test_times_are_shown_in_the_zone_that_is_set(
    as_administrator: Client, make_job: Callable[..., Job], settings: Any
) -> None:
    make_job()
    execute("UPDATE procrastinate_events SET at = '2026-01-02 21:04:05Z'")
    assert "2026-01-02 21:04:05 UTC" in as_administrator.get(LIST).content.decode()
    settings.TIME_ZONE = "Asia/Kolkata"
    with timezone.override("Asia/Kolkata"):
        page = as_administrator.get(LIST).content.decode()
    assert "2026-01-03 02:34:05 IST" in page


def test_who_may_not_see_users_sees_their_ids_only(
    client: Client, staff: Callable[..., User], make_job: Callable[..., Job], administrator: User
) -> None:
    job = make_job(args={"user_id": administrator.pk})
    client.force_login(staff("joblogs.view_job"))
    for url in (LIST, f"{LIST}{job.pk}/change/"):
        page = client.get(url).content.decode()
        assert f"user {administrator.pk}" in page
        assert "/admin/accounts/user/" not in page
        assert administrator.username not in page


@pytest.mark.parametrize(
    "state", ["waiting", "scheduled", "running", "succeeded", "failed", "cancelled", "aborted"]
)
def test_jobs_are_filtered_by_their_state(
    ids: Callable[..., list[int]], make_job: Callable[..., Job], state: str
) -> None:
    jobs = {
        "waiting": make_job(),
        "scheduled": make_job(schedule_in={"days": 1}),
        "running": make_job("doing"),
        **{status: make_job(status) for status in ("succeeded", "failed", "cancelled", "aborted")},
    }
    assert ids(state=state) == [jobs[state].pk]


def test_a_job_whose_time_has_come_is_waiting(
    ids: Callable[..., list[int]], make_job: Callable[..., Job]
) -> None:
    job = make_job(schedule_in={"days": 1})
    assert (ids(state="scheduled"), ids(state="waiting")) == ([job.pk], [])
    execute("UPDATE procrastinate_jobs SET scheduled_at = now() - interval '1 second'")
    assert (ids(state="scheduled"), ids(state="waiting")) == ([], [job.pk])


def test_no_job_is_in_a_state_that_is_unknown(
    ids: Callable[..., list[int]], make_job: Callable[..., Job]
) -> None:
    make_job(), make_job("failed")
    for state in ("todo", "Failed", "nonsense"):
        assert ids(state=state) == []


def test_jobs_are_filtered_by_queue_and_task(
    ids: Callable[..., list[int]], make_job: Callable[..., Job], as_administrator: Client
) -> None:
    low, _ = make_job(queue="low"), make_job(queue="default")
    assert ids(queue="low") == [low.pk]
    assert ids(queue="low", state="failed") == []
    assert len(ids(task=create_user_log.name)) == 2
    assert ids(task="another.task") == []
    page = as_administrator.get(LIST).content.decode()
    assert '?queue=low"' in page
    assert f'?task={create_user_log.name}"' in page


def test_other_lookups_and_orders_and_facets_are_not_to_be_had(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    make_job(), make_job()
    for query in ("args__has_key=user_id", "lock__isnull=1", "status=todo", "_facets=True"):
        assert as_administrator.get(f"{LIST}?{query}").status_code == 400
    listed = changelist(as_administrator.get(f"{LIST}?o=3.1&all=&p=7"))
    assert [job.pk for job in listed.result_list] == sorted(
        Job.objects.values_list("pk", flat=True), reverse=True
    )


def test_an_empty_list_says_so(as_administrator: Client) -> None:
    assert "No jobs yet." in as_administrator.get(LIST).content.decode()
    assert "No job matches." in as_administrator.get(f"{LIST}?state=failed").content.decode()


def test_an_empty_list_offers_no_actions(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    assert 'name="action"' not in as_administrator.get(LIST).content.decode()
    make_job("failed")
    assert 'name="action"' in as_administrator.get(LIST).content.decode()
    assert 'name="action"' not in as_administrator.get(f"{LIST}?state=running").content.decode()
