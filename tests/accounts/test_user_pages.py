"""The scaffold: list, show, new, edit, set a password, delete."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.forms import UserSearchForm
from accounts.models import User
from joblogs.models import UserLog
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def names(response: Any) -> list[str]:
    return [user.username for user in response.context["users"]]


def test_the_list_shows_the_newest_first(as_looker: Client, looker: User) -> None:
    for name in ("alice", "bob"):
        User.objects.create_user(name)
    assert names(as_looker.get("/users/")) == ["bob", "alice", looker.username]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ALI", ["alice"]),
        ("example.com", ["bob"]),
        ("liddell", ["alice"]),
        ("ali lidd", ["alice"]),
        ("ali bob", []),
        ("%", []),
        ("_", []),
        ("  ", ["bob", "alice", "looker"]),
    ],
)
def test_the_search_finds_parts_of_names_and_addresses(
    as_looker: Client, query: str, found: list[str]
) -> None:
    User.objects.create_user("alice", "a@example.org", last_name="Liddell")
    User.objects.create_user("bob", "b@example.com")
    assert names(as_looker.get("/users/", {"q": query})) == found


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("username", ["alice", "bob", "looker"]),
        ("-username", ["looker", "bob", "alice"]),
        ("created_at", ["looker", "alice", "bob"]),
        ("-created_at", ["bob", "alice", "looker"]),
        ("last_login", ["bob", "looker", "alice"]),
        ("-last_login", ["looker", "bob", "alice"]),
    ],
)
def test_the_list_is_sorted_as_asked(as_looker: Client, sort: str, order: list[str]) -> None:
    User.objects.create_user("alice")
    User.objects.create_user("bob", last_login=timezone.now() - timedelta(days=1))
    assert names(as_looker.get("/users/", {"sort": sort})) == order


def test_each_heading_sorts_and_turns_round(as_looker: Client) -> None:
    columns = {c.name: c for c in as_looker.get("/users/").context["columns"]}
    assert columns["created_at"].direction == "descending"
    assert columns["created_at"].sort == "created_at"
    assert columns["username"].direction == ""
    assert columns["username"].sort == "username"
    columns = {c.name: c for c in as_looker.get("/users/?sort=username").context["columns"]}
    assert (columns["username"].direction, columns["username"].sort) == ("ascending", "-username")


def test_pages_keep_search_and_order(as_looker: Client) -> None:
    User.objects.bulk_create([User(username=f"user{number:02}") for number in range(60)])
    page = as_looker.get("/users/", {"q": "user", "sort": "username", "page": "2"})
    assert names(page) == [f"user{number:02}" for number in range(25, 50)]
    assert "q=user&amp;sort=username&amp;page=3" in page.content.decode()


@pytest.mark.parametrize("page", ["0", "99", "-1", "nonsense", "9" * 40])
def test_an_unknown_page_does_not_exist(as_looker: Client, page: str) -> None:
    assert as_looker.get("/users/", {"page": page}).status_code == 404


@pytest.mark.parametrize(
    "query", [{"q": "a\0b"}, {"q": "x" * 151}, {"sort": "password"}, {"sort": "-id; DROP TABLE"}]
)
def test_a_bad_search_says_so_and_shows_nothing(as_looker: Client, query: dict[str, str]) -> None:
    response = as_looker.get("/users/", query)
    assert response.status_code == 400
    assert names(response) == []
    assert 'role="alert"' in response.content.decode()


def test_the_list_counts_logs_without_a_query_per_row(
    as_looker: Client, django_assert_num_queries: Callable[..., Any]
) -> None:
    users = User.objects.bulk_create([User(username=f"user{number}") for number in range(24)])
    for job in range(3):
        UserLog.objects.write(user_id=users[0].pk, job_id=job)
    # session, user, 2 for permissions, number of users, users, their logs
    with django_assert_num_queries(7):
        response = as_looker.get("/users/?sort=-username")
    counts = {user.username: user.log_count for user in response.context["users"]}
    assert len(counts) == 25
    assert counts["user0"] == 3
    assert counts["user1"] == 0


def test_the_lists_first_page_is_found_through_an_index() -> None:
    User.objects.bulk_create([User(username=f"user{number}") for number in range(2_000)])
    execute("ANALYZE users")
    plan = UserSearchForm({}).search(User.objects.all())[:25].explain()
    assert "users_newest_idx" in plan
    assert "Sort" not in plan


def test_who_may_not_see_logs_sees_no_counts(client: Client, staff: Callable[..., User]) -> None:
    client.force_login(staff("accounts.view_user"))
    response = client.get("/users/")
    assert not response.context["show_log_count"]
    assert not hasattr(response.context["users"][0], "log_count")


@pytest.mark.parametrize(
    "pk", ["0", "999999", "9" * 30, "-1", "1.5", "nonsense", "%00", "%EF%BC%91"]
)
@pytest.mark.parametrize("page", ["", "edit/", "password/", "delete/", "logs/"])
def test_a_user_who_does_not_exist_is_not_found(
    as_administrator: Client, pk: str, page: str
) -> None:
    assert as_administrator.get(f"/users/{pk}/{page}").status_code == 404


def test_a_user_is_created_with_a_password(as_administrator: Client) -> None:
    password = "correct horse battery"
    form = {
        "username": "alice",
        "email": "alice@example.org",
        "usable_password": "true",
        "password1": password,
        "password2": password,
    }
    response = as_administrator.post("/users/new/", form, follow=True)
    user = User.objects.get(username="alice")
    assert response.redirect_chain == [(f"/users/{user.pk}/", 302)]
    assert "alice was created." in response.content.decode()
    assert user.check_password(password)


def test_a_user_is_created_without_a_usable_password(as_administrator: Client) -> None:
    as_administrator.post("/users/new/", {"username": "alice", "usable_password": "false"})
    assert not User.objects.get(username="alice").has_usable_password()


VALID = {"username": "alice", "usable_password": "false"}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"username": "a\0b"}, "username"),
        ({"username": "two words"}, "username"),
        ({"email": "nonsense"}, "email"),
        ({"email": "x" * 250 + "@example.org"}, "email"),
        ({"first_name": "x" * 151}, "first_name"),
        ({"last_name": "a\0b"}, "last_name"),
        ({"usable_password": "true"}, "password1"),
        ({"usable_password": "true", "password1": "a", "password2": "b"}, "password2"),
        ({"usable_password": "true", "password1": "123", "password2": "123"}, "password2"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_saved(
    as_administrator: Client, values: dict[str, str], field: str
) -> None:
    response = as_administrator.post("/users/new/", VALID | values)
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert 'aria-invalid="true"' in response.content.decode()
    assert User.objects.count() == 1


def test_a_user_is_edited(as_administrator: Client) -> None:
    user = User.objects.create_user("alice")
    form = {"username": "alicia", "email": "alicia@example.org", "is_active": "on"}
    response = as_administrator.post(f"/users/{user.pk}/edit/", form, follow=True)
    assert "alicia was saved." in response.content.decode()
    user.refresh_from_db()
    assert (user.username, user.email) == ("alicia", "alicia@example.org")
    assert user.updated_at > user.created_at


def test_an_edit_that_does_not_fit_changes_nothing(as_administrator: Client) -> None:
    User.objects.create_user("bob")
    user = User.objects.create_user("alice")
    response = as_administrator.post(f"/users/{user.pk}/edit/", {"username": "BOB"})
    assert response.status_code == 422
    user.refresh_from_db()
    assert user.username == "alice"


def test_a_password_is_set_and_taken_away(as_administrator: Client) -> None:
    user = User.objects.create_user("alice")
    password = {"password1": "correct horse battery", "password2": "correct horse battery"}
    response = as_administrator.post(f"/users/{user.pk}/password/", password, follow=True)
    assert "The password of alice was changed." in response.content.decode()
    user.refresh_from_db()
    assert user.check_password("correct horse battery")

    as_administrator.post(f"/users/{user.pk}/password/", {"usable_password": "false"})
    user.refresh_from_db()
    assert not user.has_usable_password()


def test_a_weak_password_is_refused(as_administrator: Client) -> None:
    user = User.objects.create_user("alice", password="password")
    form = {"usable_password": "true", "password1": "alice", "password2": "alice"}
    assert as_administrator.post(f"/users/{user.pk}/password/", form).status_code == 422
    user.refresh_from_db()
    assert user.check_password("password")


@pytest.mark.parametrize(
    ("logs", "sentence"),
    [
        (0, "<strong>alice</strong>. It"),
        (1, "<strong>1 log</strong> of"),
        (3, "<strong>3 logs</strong> of"),
    ],
)
def test_the_confirmation_says_how_many_logs_go_with_the_user(
    as_administrator: Client, logs: int, sentence: str
) -> None:
    user = User.objects.create_user("alice")
    for job in range(logs):
        UserLog.objects.write(user_id=user.pk, job_id=job)
    page = as_administrator.get(f"/users/{user.pk}/delete/").content.decode()
    assert sentence in " ".join(page.split())
    assert User.objects.filter(pk=user.pk).exists()


def test_deleting_a_user_deletes_the_logs(as_administrator: Client) -> None:
    user = User.objects.create_user("alice")
    UserLog.objects.write(user_id=user.pk)
    response = as_administrator.post(f"/users/{user.pk}/delete/", follow=True)
    assert "alice was deleted." in response.content.decode()
    assert not UserLog.objects.exists()
    assert as_administrator.post(f"/users/{user.pk}/delete/").status_code == 404


def test_a_user_is_deleted_by_the_form_alone(as_administrator: Client) -> None:
    user = User.objects.create_user("alice")
    assert as_administrator.delete(f"/users/{user.pk}/delete/").status_code == 405
    assert User.objects.filter(pk=user.pk).exists()


@pytest.mark.parametrize("page", ["new", "{pk}/edit", "{pk}/password", "{pk}/delete"])
def test_a_post_without_its_token_is_refused(administrator: User, page: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(administrator)
    url = f"/users/{page.format(pk=administrator.pk)}/"
    response = strict.post(url, VALID)
    assert response.status_code == 403
    assert "<title>Form refused" in response.content.decode()
    assert User.objects.count() == 1


def test_a_hostile_name_is_shown_as_text(as_looker: Client) -> None:
    hostile = "<script>alert(1)</script>"
    user = User.objects.create(username="alice", first_name=hostile)
    for url in ("/users/", f"/users/{user.pk}/", f"/users/?q={hostile}"):
        assert hostile not in as_looker.get(url).content.decode()
