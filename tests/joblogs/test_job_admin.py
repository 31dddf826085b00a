"""Jobs in the admin: the list, its search and filters, and the page of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.admin.sites import site
from procrastinate.contrib.django.models import ProcrastinateJob

from joblogs.admin import job_list
from joblogs.models import Job, UserLog
from joblogs.tasks import create_user_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import User

pytestmark = pytest.mark.django_db

LIST = "/admin/joblogs/job/"


@pytest.fixture
def ids(as_administrator: Client) -> Callable[..., list[int]]:
    """Return the ids of the jobs that the list shows for these query parameters."""

    def of(**query: str) -> list[int]:
        response: Any = as_administrator.get(LIST, query)
        assert response.status_code == 200
        return [job.pk for job in response.context["cl"].result_list]

    return of


@pytest.fixture(autouse=True)
def _no_other_jobs(administrator: User) -> None:
    """Drop the job that creating the administrator deferred."""
    Job.objects.all().cancel()
    Job.objects.all().delete_ended()


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
    # The moment of its deferral, not that for which it is scheduled.
    assert changelist(response).result_list[0].changed_at < newer.scheduled_at


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


def test_a_job_is_found_by_its_id_its_task_and_its_arguments(
    ids: Callable[..., list[int]], make_job: Callable[..., Job]
) -> None:
    one = make_job(args={"user_id": 71, "colour": "blue", "exact": True})
    two = make_job(args={"user_id": 710, "colour": "7"})
    assert ids(q=str(one.pk)) == [one.pk]
    assert ids(q=f" {two.pk} ") == [two.pk]
    assert ids(q="USER_LOG") == [two.pk, one.pk]
    assert ids(q="user_id=71") == [one.pk]
    assert ids(q="colour = blue") == [one.pk]
    assert ids(q="colour=7") == [two.pk]
    assert ids(q="exact=true") == [one.pk]


@pytest.mark.parametrize(
    "q",
    ["nonsense", "99999999999999999999999", "٣", "colour=", "=7", "a=1e999", "a=NaN", "%", "a=\\"],
)
def test_a_search_for_something_else_finds_nothing(
    ids: Callable[..., list[int]], make_job: Callable[..., Job], q: str
) -> None:
    make_job(args={"user_id": 3, "colour": "blue"})
    assert ids(q=q) == []


def test_the_jobs_of_a_user_are_found_however_old_they_are(
    ids: Callable[..., list[int]],
    make_job: Callable[..., Job],
    administrator: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_list, "SEARCHED", 1)
    logged = make_job("succeeded", args={"user_id": administrator.pk})
    UserLog.objects.write(user_id=administrator.pk, job_id=logged.pk)
    failed = make_job("failed", args={"user_id": administrator.pk})
    make_job(args={"user_id": 0})
    assert ids(q=f"user_id={administrator.pk}") == [failed.pk, logged.pk]


def test_a_search_goes_on_where_it_ended_when_asked(
    as_administrator: Client, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_list, "SEARCHED", 2)
    old = make_job(queue="low")
    make_job(), make_job(), make_job()
    response = as_administrator.get(LIST, {"queue": "low"})
    found: list[int] = []
    pages = 1
    while url := changelist(response).search_older_url:
        assert "2 jobs were searched" in response.content.decode()
        assert "Search older jobs" in response.content.decode()
        response = as_administrator.get(LIST + url)
        found += [job.pk for job in changelist(response).result_list]
        pages += 1
    assert found == [old.pk]
    assert pages == 2


def test_pages_follow_each_other_without_gaps(
    as_administrator: Client, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site.get_model_admin(Job), "list_per_page", 2)
    jobs = [make_job().pk for _ in range(5)]
    url: str | None = ""
    seen: list[list[int]] = []
    while url is not None:
        listed = changelist(as_administrator.get(LIST + url))
        seen.append([job.pk for job in listed.result_list])
        url = listed.older_url
    assert seen == [jobs[4:2:-1], jobs[2:0:-1], jobs[:1]]
    # Filters and searches begin with the newest again.
    page = as_administrator.get(f"{LIST}?before={jobs[2]}").content.decode()
    assert 'href="?state=failed"' in page
    assert 'name="before"' not in page


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "", "1.5", "٣"])
def test_a_page_that_does_not_exist_is_the_newest(
    ids: Callable[..., list[int]], make_job: Callable[..., Job], before: str
) -> None:
    job = make_job()
    assert ids(before=before) == [job.pk]


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


@pytest.mark.parametrize("query", ["", "state=failed", "queue=low", "q=user_log", "before=900"])
def test_the_list_takes_as_many_queries_for_many_jobs_as_for_few(
    client: Client,
    staff: Callable[..., User],
    django_assert_max_num_queries: Callable[..., Any],
    make_job: Callable[..., Job],
    query: str,
) -> None:
    client.force_login(staff("joblogs.view_job", "joblogs.retry_job", "accounts.view_user"))
    for number in range(150):
        make_job("failed", args={"user_id": number}, queue="low")
    with django_assert_max_num_queries(10) as few:
        client.get(f"{LIST}?{query}")
    statements = [query["sql"] for query in few.captured_queries]
    # Nothing is counted but what is limited.
    assert all("LIMIT" in sql for sql in statements if "COUNT(" in sql)
    assert not any("SELECT DISTINCT" in sql for sql in statements if "DISTINCT ON" not in sql)


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
