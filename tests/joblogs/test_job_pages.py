"""The pages of the list of jobs: in order, without gaps, and at a bounded cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from joblogs.admin import job_list
from joblogs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_other_jobs")]

LIST = "/admin/joblogs/job/"
UNSUCCESSFUL = ("failed", "cancelled", "aborted")


@pytest.fixture
def two_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin.site.get_model_admin(Job), "list_per_page", 2)


def test_pages_follow_each_other_without_gaps(
    as_administrator: Client,
    make_job: Callable[..., Job],
    walk: Callable[..., list[list[int]]],
    two_on_a_page: None,
) -> None:
    jobs = [make_job().pk for _ in range(5)]
    assert walk() == [jobs[4:2:-1], jobs[2:0:-1], jobs[:1]]
    # Filters and searches begin with the newest again.
    page = as_administrator.get(f"{LIST}?before={jobs[2]}").content.decode()
    assert 'href="?state=failed"' in page
    assert 'name="before"' not in page


@pytest.mark.parametrize("before", ["9" * 5_000, "x", "-1", "9" * 30, "", "1.5", "٣"])
def test_a_page_that_does_not_exist_is_the_newest(
    ids: Callable[..., list[int]], make_job: Callable[..., Job], before: str
) -> None:
    job = make_job()
    assert ids(before=before) == [job.pk]


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


@pytest.mark.parametrize("state", UNSUCCESSFUL)
def test_pages_of_jobs_that_did_not_succeed_follow_each_other_too(
    make_job: Callable[..., Job],
    walk: Callable[..., list[list[int]]],
    two_on_a_page: None,
    state: str,
) -> None:
    jobs = []
    for _ in range(5):
        jobs.append(make_job(state).pk)
        make_job("succeeded")
    assert walk(f"state={state}") == [jobs[4:2:-1], jobs[2:0:-1], jobs[:1]]


@pytest.mark.parametrize("state", UNSUCCESSFUL)
def test_they_are_read_in_the_order_of_their_index(
    as_administrator: Client, make_job: Callable[..., Job], state: str
) -> None:
    make_job(state)
    with CaptureQueriesContext(connection) as queries:
        as_administrator.get(LIST, {"state": state, "before": "999999999"})
    statements = [" ".join(query["sql"].split()) for query in queries]
    [rows] = [sql for sql in statements if sql.startswith('SELECT "procrastinate_jobs"."id"')]
    assert '("procrastinate_jobs"."id" * -1) > -999999999' in rows
    assert 'ORDER BY ("procrastinate_jobs"."id" * -1) ASC' in rows


def test_only_the_newest_page_counts_and_up_to_a_limit(
    make_job: Callable[..., Job],
    listed: Callable[..., Any],
    two_on_a_page: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [make_job() for _ in range(6)]
    assert listed().result_count == 6
    monkeypatch.setattr(job_list, "COUNTED", 3)
    assert listed().result_count == 3
    with CaptureQueriesContext(connection) as queries:
        older = listed(before=str(jobs[-1].pk))
    assert older.result_count == 2
    assert older.older_url is not None
    assert not any("COUNT(" in query["sql"] for query in queries)
