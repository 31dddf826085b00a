"""What the admin answers to those who act on jobs: what is left alone and why, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry

from joblogs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

LIST = "/admin/joblogs/job/"


def act(verb: str) -> str:
    return f"{LIST}act/{verb}/"


def test_what_makes_no_sense_is_named_and_the_rest_is_done(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    failed = make_job("failed")
    running = [make_job("doing"), make_job("doing")]
    locked = make_job("failed", queueing_lock="x")
    twin = make_job(queueing_lock="x")
    ids = [failed.pk, *(job.pk for job in running), locked.pk]
    query = ",".join(map(str, ids))
    page = as_administrator.get(f"{act('retry')}?ids={query}").content.decode()
    reasons = (
        f"jobs {running[0].pk}, {running[1].pk} (running)",
        f"job {locked.pk} (job {twin.pk} with the same queueing lock is queued)",
    )
    assert "<strong>1 job</strong>" in page
    for reason in reasons:
        assert f"<li>{reason}</li>" in page
    response = as_administrator.post(act("retry"), {"ids": query}, follow=True)
    page = response.content.decode()
    assert "1 job was retried." in page
    assert f"Left alone: {', '.join(reasons)}." in page
    assert Job.objects.filter(status="todo", pk__in=ids).get() == failed
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(failed.pk)]


def test_nothing_to_do_leaves_no_button(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job("succeeded")
    page = as_administrator.get(f"{act('retry')}?ids={job.pk}").content.decode()
    assert "There is nothing to do" in page
    assert "(succeeded)" in page
    assert 'value="Yes' not in page


def test_a_job_that_is_gone_is_left_alone(as_administrator: Client) -> None:
    response = as_administrator.post(act("cancel"), {"ids": "999999"}, follow=True)
    assert "Left alone: job 999999 (does not exist)." in response.content.decode()


def test_many_jobs_are_named_in_part(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    jobs = [make_job("failed") for _ in range(23)]
    query = ",".join(str(job.pk) for job in jobs)
    page = as_administrator.get(f"{act('retry')}?ids={query}").content.decode()
    assert "<li>and 3 more</li>" in page
    page = as_administrator.get(f"{act('abort')}?ids={query}").content.decode()
    assert "and 3 more (failed)" in page


def test_filters_lead_back_to_the_list_and_nowhere_else(as_administrator: Client) -> None:
    form = {"ids": "", "filters": "//evil.example\r\nX: y&state=failed"}
    response = as_administrator.post(act("retry"), form)
    assert response["Location"].startswith(f"{LIST}?")
    assert "\n" not in response["Location"]


def test_many_reasons_are_told_in_part(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    locks = [f"invoice-{number}" for number in range(25)]
    failed = [make_job("failed", queueing_lock=lock) for lock in locks]
    twins = [make_job(queueing_lock=lock) for lock in locks]
    told = [
        f"job {job.pk} (job {twin.pk} with the same queueing lock is queued)"
        for job, twin in zip(failed[:20], twins, strict=False)
    ]
    query = ",".join(str(job.pk) for job in failed)
    response: Any = as_administrator.get(f"{act('retry')}?ids={query}")
    assert response.context["left_alone"] == [*told, "5 jobs more"]
    response = as_administrator.post(act("retry"), {"ids": query}, follow=True)
    assert f"Left alone: {', '.join(told)}, 5 jobs more." in response.content.decode()


@pytest.mark.parametrize(
    ("filters", "way_back"),
    [
        ("state=failed&q=user_log&queue=default", "?q=user_log&state=failed&queue=default"),
        ("state=failed&before=7&p=3&evil=1", "?state=failed"),
        ("evil=//example.org", ""),
        ("\0", ""),
        ("state=failed&\0=\0", "?state=failed"),
        ("q=x&q=y", "?q=y"),
        ("&" * 900, ""),
    ],
)
def test_whatever_filters_are_given_the_way_leads_back_to_the_list(
    as_administrator: Client, make_job: Callable[..., Job], filters: str, way_back: str
) -> None:
    job = make_job("failed")
    response = as_administrator.post(act("retry"), {"ids": job.pk, "filters": filters})
    assert response.status_code == 302
    assert response["Location"] == LIST + way_back
    assert Job.objects.get(pk=job.pk).status == "todo"
    assert as_administrator.get(response["Location"]).status_code == 200


def test_too_many_filters_are_refused_before_anything_is_done(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    form = {"ids": job.pk, "filters": "&" * 1_999}
    assert as_administrator.post(act("retry"), form).status_code == 400
    assert Job.objects.get(pk=job.pk).status == "failed"
    assert not LogEntry.objects.exists()
