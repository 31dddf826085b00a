"""What people do to jobs in the admin: each needs its permission, is asked again and recorded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Permission

from joblogs.admin import job_actions
from joblogs.models import Job
from joblogs.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import User

pytestmark = pytest.mark.django_db

LIST = "/admin/joblogs/job/"
STATES = {"retry": "failed", "cancel": "todo", "abort": "doing", "delete": "failed"}


def act(verb: str) -> str:
    return f"{LIST}act/{verb}/"


def snapshot() -> list[dict[str, Any]]:
    return list(Job.objects.order_by("pk").values())


@pytest.fixture
def job_for(make_job: Callable[..., Job]) -> Callable[[str], Job]:
    """Make a job for which the verb makes sense."""

    def make(verb: str) -> Job:
        if verb == "run_now":
            return make_job(schedule_in={"days": 1})
        return make_job(STATES[verb])

    return make


def test_the_list_offers_only_what_one_may_do(
    client: Client, staff: Callable[..., User], make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    client.force_login(staff("joblogs.view_job", "joblogs.retry_job"))
    page = client.get(LIST).content.decode()
    assert '<option value="retry">Retry</option>' in page
    assert '<option value="cancel">' not in page
    page = client.get(f"{LIST}{job.pk}/change/").content.decode()
    assert f'href="{act("retry")}?ids={job.pk}"' in page
    assert act("delete") not in page


def test_one_who_may_only_look_is_offered_nothing(
    client: Client, staff: Callable[..., User], make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    client.force_login(staff("joblogs.view_job"))
    assert 'name="action"' not in client.get(LIST).content.decode()
    assert "/act/" not in client.get(f"{LIST}{job.pk}/change/").content.decode()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_needs_its_own_permission(
    client: Client, staff: Callable[..., User], job_for: Callable[[str], Job], verb: str
) -> None:
    job = job_for(verb)
    others = [f"joblogs.{name}_job" for name in VERBS if name != verb]
    client.force_login(staff("joblogs.view_job", *others))
    before = snapshot()
    for response in (
        client.get(f"{act(verb)}?ids={job.pk}"),
        client.post(act(verb), {"ids": job.pk}),
    ):
        assert response.status_code == 403
        assert f"(joblogs.{verb}_job)" in response.content.decode()
    client.post(LIST, {"action": verb, "_selected_action": job.pk, "index": 0})
    assert snapshot() == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_not_for_those_who_may_not_look(
    client: Client, staff: Callable[..., User], job_for: Callable[[str], Job], verb: str
) -> None:
    job = job_for(verb)
    client.force_login(staff(f"joblogs.{verb}_job"))
    before = snapshot()
    for response in (
        client.get(f"{act(verb)}?ids={job.pk}"),
        client.post(act(verb), {"ids": job.pk}),
    ):
        assert response.status_code == 403
        assert "(joblogs.view_job)" in response.content.decode()
    assert snapshot() == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_done_when_confirmed_and_not_before(
    client: Client, staff: Callable[..., User], job_for: Callable[[str], Job], verb: str
) -> None:
    job = job_for(verb)
    user = staff("joblogs.view_job", f"joblogs.{verb}_job")
    client.force_login(user)
    before = snapshot()
    form = {"action": verb, "_selected_action": [job.pk], "index": 0}
    page = client.post(f"{LIST}?q=user_log", form)
    assert page.status_code == 200
    assert "1 job</strong>?" in page.content.decode()
    assert snapshot() == before
    assert f'<a href="{LIST}?q=user_log" class="button cancel-link">' in page.content.decode()
    confirmed = {name: page.context[name] for name in ("ids", "filters")}
    response = client.post(page.context["act_url"], confirmed, follow=True)
    assert response.redirect_chain == [(f"{LIST}?q=user_log", 302)]
    assert f"1 job was {VERBS[verb].done}." in response.content.decode()
    assert snapshot() != before
    entry = LogEntry.objects.get(user=user)
    assert entry.object_id == str(job.pk)
    assert entry.object_repr == f"Job {job.pk} {job.task_name}"
    assert entry.action_flag == (DELETION if verb == "delete" else CHANGE)
    assert entry.get_change_message() == f"{VERBS[verb].done.capitalize()}."


def test_a_permission_that_was_taken_away_meanwhile_counts(
    client: Client, staff: Callable[..., User], make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    user = staff("joblogs.view_job", "joblogs.retry_job")
    client.force_login(user)
    assert client.get(f"{act('retry')}?ids={job.pk}").status_code == 200
    user.user_permissions.remove(Permission.objects.get(codename="retry_job"))
    assert client.post(act("retry"), {"ids": job.pk}).status_code == 403
    assert Job.objects.get(pk=job.pk).status == "failed"


def test_all_that_match_are_chosen_at_once(
    as_administrator: Client, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    for state in ("failed", "failed", "failed", "cancelled"):
        make_job(state)
    form = {
        "action": "retry",
        "select_across": 1,
        "_selected_action": [Job.objects.filter(status="failed").first().pk],
        "index": 0,
    }
    page = as_administrator.post(f"{LIST}?state=failed", form)
    assert "<strong>3 jobs</strong>" in page.content.decode()
    monkeypatch.setattr(job_actions, "COUNTED", 2)
    page = as_administrator.post(f"{LIST}?state=failed", form)
    assert "<strong>2 jobs</strong>" in page.content.decode()
    assert "these are the newest 2" in page.content.decode()


@pytest.mark.parametrize("ids", ["", "x", "1;2", "-1", "9" * 40, "1.5", ",", "1 OR 1=1"])
def test_ids_that_are_none_lead_back_to_the_list(
    as_administrator: Client, make_job: Callable[..., Job], ids: str
) -> None:
    make_job("failed")
    before = snapshot()
    for response in (
        as_administrator.get(act("retry"), {"ids": ids}, follow=True),
        as_administrator.post(act("retry"), {"ids": ids}, follow=True),
    ):
        assert response.redirect_chain == [(LIST, 302)]
        assert "No jobs were chosen." in response.content.decode()
    form = {"action": "retry", "_selected_action": [ids], "index": 0}
    assert as_administrator.post(LIST, form).status_code in {200, 400}
    assert snapshot() == before


def test_too_many_ids_are_refused(
    as_administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_actions, "COUNTED", 2)
    response = as_administrator.post(act("retry"), {"ids": "1,2,3"}, follow=True)
    assert "No jobs were chosen." in response.content.decode()


def test_an_unknown_verb_does_not_exist(as_administrator: Client) -> None:
    assert as_administrator.get(f"{act('explode')}?ids=1").status_code == 404


def test_a_job_and_its_record_come_together_or_not_at_all(
    as_administrator: Client, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError

    job = make_job("failed")
    monkeypatch.setattr(LogEntry.objects, "log_actions", fail)
    with pytest.raises(RuntimeError):
        as_administrator.post(act("retry"), {"ids": job.pk})
    assert Job.objects.get(pk=job.pk).status == "failed"


def test_what_was_done_is_logged_also_when_its_user_is_gone(
    client: Client,
    staff: Callable[..., User],
    make_job: Callable[..., Job],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "joblogs.admin.job_actions")
    client.force_login(staff("joblogs.view_job", "joblogs.retry_job", username="helpful"))
    jobs = [make_job("failed"), make_job("cancelled")]
    ids = ", ".join(str(job.pk) for job in jobs)
    running = make_job("doing")
    for chosen in (f"{ids}, {running.pk}".replace(" ", ""), str(running.pk)):
        client.post(act("retry"), {"ids": chosen})
    [line] = [line for line in caplog.records if line.name == "joblogs.admin.job_actions"]
    assert line.levelno == logging.INFO
    assert line.getMessage() == f"Retry: 2 jobs by helpful: {ids}"
