"""The list of logs: newest first, filtered by user and date, page after page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from accounts.models import User
from joblogs import keyset, views
from joblogs.keyset import Position
from joblogs.models import UserLog
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def write(user: User, *moments: datetime) -> list[UserLog]:
    """Write logs that seem to have been written at these moments."""
    logs = UserLog.objects.bulk_create([UserLog(user=user) for _ in moments])
    for log, moment in zip(logs, moments, strict=True):
        log.created_at = moment
    UserLog.objects.bulk_update(logs, ["created_at"])
    return logs


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 1, number, hour, tzinfo=UTC)


def shown(response: Any) -> list[UserLog]:
    return list(response.context["logs"])


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("Alice")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


def test_the_newest_log_comes_first(as_looker: Client, alice: User, bob: User) -> None:
    first, third = write(alice, day(1), day(3))
    [second] = write(bob, day(2))
    assert shown(as_looker.get("/logs/")) == [third, second, first]


def test_it_is_filtered_by_user_whatever_the_case(
    as_looker: Client, alice: User, bob: User
) -> None:
    write(bob, day(1))
    [log] = write(alice, day(1))
    assert shown(as_looker.get("/logs/?user=ALICE")) == [log]


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("since=2026-01-02", [3, 2]),
        ("until=2026-01-02", [2, 1]),
        ("since=2026-01-02&until=2026-01-02", [2]),
        ("since=2026-01-04", []),
    ],
)
def test_it_is_filtered_by_days_both_included(
    as_looker: Client, alice: User, query: str, days: list[int]
) -> None:
    write(alice, day(1, 23), day(2, 0), day(3, 0))
    logs = shown(as_looker.get(f"/logs/?{query}"))
    assert [log.created_at.day for log in logs] == days


def test_days_begin_at_midnight_of_the_sites_time_zone(
    as_looker: Client, alice: User, settings: Any
) -> None:
    settings.TIME_ZONE = "America/New_York"
    [log] = write(alice, day(2, 3))  # still the first of January in New York
    with timezone.override("America/New_York"):
        response = as_looker.get("/logs/?until=2026-01-01")
    assert shown(response) == [log]
    assert "America/New_York" in response.content.decode()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("user=nobody", "There is no user “nobody”."),
        ("user=a%00b", "Null characters are not allowed."),
        ("user=" + "x" * 151, "at most 150 characters"),
        ("since=yesterday", "Enter a valid date."),
        ("until=9999-99-99", "Enter a valid date."),
        ("since=2026-01-02&until=2026-01-01", "The last day is before the first one."),
        ("older=nonsense", "This page does not exist."),
        ("older=2026-01-01_1", "This page does not exist."),
        ("newer=2026-01-01T00:00:00%2B00:00_99999999999999999999", "This page does not exist."),
        ("newer=%00", "Null characters are not allowed."),
        ("older=0001-01-01T00:00:00%2B23:59_5", "This page does not exist."),
    ],
)
def test_a_bad_filter_says_what_is_wrong_and_shows_nothing(
    as_looker: Client, alice: User, query: str, message: str
) -> None:
    write(alice, day(1))
    response = as_looker.get(f"/logs/?{query}")
    assert response.status_code == 400
    assert shown(response) == []
    assert message in response.content.decode()


@pytest.mark.parametrize("date", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_first_and_the_last_day_of_all_are_days_too(
    as_looker: Client, date: str, zone: str
) -> None:
    with timezone.override(zone):
        response = as_looker.get(f"/logs/?since={date}&until={date}")
    assert response.status_code == 200


def test_there_are_pages_both_ways_that_keep_the_filter(
    as_looker: Client, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE_SIZE", 2)
    logs = write(alice, *(day(number) for number in range(1, 6)))
    write(bob, day(3))

    first = as_looker.get("/logs/?user=alice")
    assert shown(first) == [logs[4], logs[3]]
    assert first.context["newer_url"] is first.context["newest_url"] is None
    second = as_looker.get(first.context["older_url"])
    assert shown(second) == [logs[2], logs[1]]
    third = as_looker.get(second.context["older_url"])
    assert shown(third) == [logs[0]]
    assert third.context["older_url"] is None

    back = as_looker.get(third.context["newer_url"])
    assert shown(back) == [logs[2], logs[1]]
    assert shown(as_looker.get(back.context["newer_url"])) == [logs[4], logs[3]]
    assert shown(as_looker.get(back.context["newest_url"])) == [logs[4], logs[3]]


def test_logs_of_the_same_moment_are_told_apart_by_their_ids(alice: User) -> None:
    logs = write(alice, *[day(1)] * 5)
    seen: list[UserLog] = []
    position: Position | None = None
    while True:
        page = keyset.page(UserLog.objects.all(), 2, older_than=position)
        seen += page.rows
        if page.older is None:
            break
        position = page.older
    assert seen == logs[::-1]


def test_a_page_beyond_the_newest_log_is_empty_and_leads_nowhere(alice: User) -> None:
    [log] = write(alice, day(1))
    page = keyset.page(UserLog.objects.all(), 2, newer_than=Position.of(log))
    assert page == ([], None, None)


def test_a_page_costs_one_query_whatever_its_length(
    as_looker: Client, alice: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    write(alice, *(day(1) + timedelta(seconds=number) for number in range(60)))
    with django_assert_num_queries(5):  # session, user, 2 for permissions, the page
        response = as_looker.get("/logs/")
    assert len(shown(response)) == 50


def test_deep_pages_start_in_the_index(alice: User) -> None:
    write(alice, *(day(1) + timedelta(seconds=number) for number in range(3_000)))
    execute("ANALYZE user_logs")
    middle = Position(day(1) + timedelta(seconds=1_500), 0)
    for logs in (UserLog.objects.all(), UserLog.objects.filter(user=alice)):
        for lookup, order in (("lt", ("-created_at", "-id")), ("gt", ("created_at", "id"))):
            plan = keyset._beyond(logs, middle, lookup).order_by(*order)[:50].explain()
            assert "Index Cond" in plan
            assert "Sort" not in plan


def test_a_position_may_be_told_in_any_offset(as_looker: Client, alice: User) -> None:
    [log] = write(alice, day(1))
    response = as_looker.get("/logs/?older=2026-01-02T23:00:00%2B23:59_5")
    assert shown(response) == [log]


def test_positions_survive_the_address_bar() -> None:
    position = Position(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), 42)
    assert Position.parse(str(position)) == position


def test_an_empty_list_says_how_to_fill_it(as_looker: Client) -> None:
    assert "No logs yet" in as_looker.get("/logs/").content.decode()
    assert "No logs yet" not in as_looker.get("/logs/?until=2026-01-01").content.decode()
