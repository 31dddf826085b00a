"""The search of the list of jobs, and how far back it looks at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin

from joblogs.admin import job_list
from joblogs.models import Job, UserLog
from joblogs.tasks import create_user_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_other_jobs")]

LIST = "/admin/joblogs/job/"
STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
UNSUCCESSFUL = ("failed", "cancelled", "aborted")


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set how many jobs are searched at once."""
    return lambda number: monkeypatch.setattr(job_list, "SEARCHED", number)


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


def test_a_search_for_a_user_that_cannot_be_finds_nothing(
    ids: Callable[..., list[int]], make_job: Callable[..., Job]
) -> None:
    make_job("failed", args={"user_id": 2**63 - 1})
    assert ids(q=f"user_id={2**63}") == []


def test_a_log_that_no_job_wrote_is_no_problem(
    ids: Callable[..., list[int]], make_job: Callable[..., Job], administrator: User
) -> None:
    UserLog.objects.write(user_id=administrator.pk)
    assert ids(q=f"user_id={administrator.pk}") == []
    failed = make_job("failed", args={"user_id": administrator.pk})
    assert ids(q=f"user_id={administrator.pk}") == [failed.pk]


def test_no_job_of_a_user_is_lost_between_the_pages(
    make_job: Callable[..., Job],
    walk: Callable[..., list[list[int]]],
    searched: Callable[[int], None],
    administrator: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched(2)
    monkeypatch.setattr(admin.site.get_model_admin(Job), "list_per_page", 2)
    about = {"user_id": administrator.pk}
    # Found by an index wherever they are, and last on the first page.
    theirs = [make_job("failed", args=about).pk for _ in range(3)]
    # Found by looking, and only when it is their turn.
    theirs += [make_job("succeeded", args=about).pk for _ in range(3)]
    for _ in range(4):
        make_job("succeeded")
    pages = walk(f"q=user_id%3D{administrator.pk}")
    assert pages[0] == [theirs[2], theirs[1]]
    assert {pk for page in pages for pk in page} == set(theirs)


def test_a_search_goes_on_where_it_ended_when_asked(
    as_administrator: Client,
    make_job: Callable[..., Job],
    walk: Callable[..., list[list[int]]],
    searched: Callable[[int], None],
) -> None:
    searched(2)
    old = make_job(queue="low")
    make_job(), make_job(), make_job()
    page = as_administrator.get(LIST, {"queue": "low"}).content.decode()
    assert "2 jobs were searched" in page
    assert "Search older jobs" in page
    assert walk("queue=low") == [[], [old.pk]]


@pytest.mark.parametrize("state", UNSUCCESSFUL)
def test_among_those_of_a_state_it_goes_on_in_the_same_way(
    make_job: Callable[..., Job],
    walk: Callable[..., list[list[int]]],
    searched: Callable[[int], None],
    state: str,
) -> None:
    searched(2)
    old = make_job(state, queue="low")
    for other in (state, "succeeded", state, "todo", state, "doing"):
        make_job(other)
    assert walk(f"state={state}&queue=low") == [[], [old.pk]]


@pytest.mark.parametrize("state", ["", "running", *UNSUCCESSFUL])
def test_the_last_job_that_is_searched_is_found(
    make_job: Callable[..., Job],
    listed: Callable[..., Any],
    searched: Callable[[int], None],
    state: str,
) -> None:
    searched(2)
    status = "doing" if state == "running" else state or "todo"
    _, last, _ = make_job(status), make_job(status, queue="low"), make_job(status)
    page = listed(queue="low", **{"state": state} if state else {})
    assert page.oldest_searched == last.pk
    assert page.result_list == [last]


def some_of_each(make_job: Callable[..., Job]) -> None:
    for status in STATUSES:
        make_job(status), make_job(status)
    make_job(schedule_in={"days": 1})


@pytest.mark.parametrize(
    "query",
    [
        *({"state": state} for state in ("waiting", "scheduled", "succeeded")),
        {"queue": "default"},
        {"task": create_user_log.name},
        {"q": "user_log"},
        {"q": "user_id=1"},
        {"state": "failed", "queue": "default"},
        {"state": "running", "q": "user_log"},
    ],
    ids=str,
)
def test_what_no_index_serves_is_looked_for_among_the_newest(
    make_job: Callable[..., Job],
    listed: Callable[..., Any],
    searched: Callable[[int], None],
    query: dict[str, str],
) -> None:
    some_of_each(make_job)
    searched(1)
    assert listed(**query).oldest_searched is not None


@pytest.mark.parametrize(
    "query",
    [{}, {"q": "1"}, *({"state": state} for state in ("running", *UNSUCCESSFUL, "nonsense"))],
    ids=str,
)
def test_what_an_index_serves_is_looked_for_everywhere(
    make_job: Callable[..., Job],
    listed: Callable[..., Any],
    searched: Callable[[int], None],
    query: dict[str, str],
) -> None:
    some_of_each(make_job)
    searched(1)
    assert listed(**query).oldest_searched is None
