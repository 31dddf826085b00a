"""The page of a job in the admin."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from joblogs.models import Job, JobLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_other_jobs")]

LIST = "/admin/joblogs/job/"


def test_a_job_is_shown_with_its_events(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job(
        "doing", args={"colour": "blue"}, lock="paint", queueing_lock="paint-71", queue="low"
    )
    page = as_administrator.get(f"{LIST}{job.pk}/change/").content.decode()
    for shown in ("create_user_log", "&quot;colour&quot;: &quot;blue&quot;", "paint-71", "low"):
        assert shown in page
    assert page.index("deferred") < page.index("started")
    assert 'name="_save"' not in page


def test_a_job_with_many_events_shows_the_latest(
    as_administrator: Client, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblogs.admin.jobs.SHOWN_EVENTS", 1)
    job = make_job("doing")
    response: Any = as_administrator.get(f"{LIST}{job.pk}/change/")
    assert [event.type for event in response.context["events"]] == ["started"]
    assert "The latest 1 of them." in response.content.decode()


def test_nobody_adds_changes_or_deletes_a_job_but_by_a_verb(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    for page in ("add/", f"{job.pk}/delete/"):
        assert as_administrator.get(LIST + page).status_code == 403
    assert as_administrator.post(f"{LIST}{job.pk}/change/", {"status": "todo"}).status_code == 403
    assert Job.objects.get(pk=job.pk).status == "failed"


def test_a_job_that_succeeded_is_not_offered_to_be_retried(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job("succeeded")
    page = as_administrator.get(f"{LIST}{job.pk}/change/").content.decode()
    assert f"{LIST}act/delete/?ids={job.pk}" in page
    for verb in ("retry", "cancel", "abort", "run_now"):
        assert f"{LIST}act/{verb}/" not in page


@pytest.mark.parametrize(
    ("url", "tag", "longest"),
    [(LIST, "code", 80), (LIST + "{pk}/change/", "pre", 20_000)],
    ids=["list", "page"],
)
def test_long_arguments_are_shortened(
    as_administrator: Client, make_job: Callable[..., Job], url: str, tag: str, longest: int
) -> None:
    job = make_job(args={"note": "é" * 30_000})
    page = as_administrator.get(url.format(pk=job.pk)).content.decode()
    shown = re.search(f"<{tag}><bdi>(.*?)</bdi></{tag}>", page, re.DOTALL)
    assert shown is not None
    text = unescape(shown[1])
    assert len(text) == longest
    assert text.endswith("ééé…")


def test_what_a_job_does_not_have_is_a_dash(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job(args={"colour": "blue"})
    for url in (LIST, f"{LIST}{job.pk}/change/"):
        assert "None" not in as_administrator.get(url).content.decode()


def note_failed_attempt(job: Job) -> None:
    now = timezone.now()
    JobLog.objects.create(
        job_id=job.pk,
        attempt=1,
        task_name=job.task_name,
        queue_name=job.queue_name,
        worker="host:4711",
        started_at=now - timedelta(seconds=1.5),
        finished_at=now,
        outcome="failed",
        error_class="ValueError",
        error_message="the <printer> is on fire",
        traceback="Traceback: printer.py",
    )


def test_its_attempts_are_shown_with_what_went_wrong(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    assert "<h2>Attempts" not in as_administrator.get(f"{LIST}{job.pk}/change/").content.decode()
    note_failed_attempt(job)
    page = as_administrator.get(f"{LIST}{job.pk}/change/").content.decode()
    for shown in ("host:4711", "1.500 s", "ValueError: the &lt;printer&gt; is on fire"):
        assert shown in page
    assert "Traceback: printer.py" in page


def test_attempts_are_for_those_who_may_see_the_log_of_jobs(
    client: Client, staff: Callable[..., User], make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    note_failed_attempt(job)
    client.force_login(staff("joblogs.view_job"))
    page = client.get(f"{LIST}{job.pk}/change/").content.decode()
    assert "host:4711" not in page
    assert "Traceback" not in page
