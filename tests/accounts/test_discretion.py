"""What strangers cannot find out, and what error reports do not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.core.signals import got_request_exception
from django.views.debug import SafeExceptionReporterFilter

from accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.test import Client

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
PAGES = [
    "/users/{pk}/",
    "/users/{pk}/edit/",
    "/users/{pk}/password/",
    "/users/{pk}/delete/",
    "/users/{pk}/logs/",
]
ADMIN_PAGES = [
    "/admin/accounts/user/{pk}/",
    "/admin/accounts/user/{pk}/change/",
    "/admin/accounts/user/{pk}/delete/",
    "/admin/accounts/user/{pk}/history/",
    "/admin/accounts/user/{pk}/password/",
    "/admin/auth/group/{pk}/change/",
    "/admin/auth/group/{pk}/delete/",
    "/admin/auth/group/{pk}/history/",
]


@pytest.fixture
def there(db: None) -> int:
    """The id of a user and of a group."""
    pk = 888_888  # found nowhere else on a page
    User.objects.create_user("alice", password=PASSWORD, pk=pk)
    Group.objects.create(pk=pk, name="group")
    return pk


def answers(client: Client, url: str, pk: int) -> list[tuple[int, str, bytes]]:
    """What GET and POST answer, without what the address itself says and the tokens of forms."""
    found = []
    for answer in (client.get(url.format(pk=pk)), client.post(url.format(pk=pk), {"post": "yes"})):
        page = answer.content.replace(str(pk).encode(), b"")
        if token := answer.context and answer.context.get("csrf_token"):
            page = page.replace(str(token).encode(), b"")
        found.append((answer.status_code, answer.get("Location", "").replace(str(pk), ""), page))
    return found


@pytest.mark.parametrize("url", PAGES + ADMIN_PAGES)
def test_a_stranger_learns_nothing_about_whether_something_exists(
    client: Client, there: int, url: str
) -> None:
    assert answers(client, url, there) == answers(client, url, 999_999)


@pytest.mark.parametrize("url", PAGES + ADMIN_PAGES)
def test_nor_does_somebody_without_permissions(
    client: Client, staff: Callable[..., User], there: int, url: str
) -> None:
    client.force_login(staff())
    assert answers(client, url, there) == answers(client, url, 999_999)


def test_the_history_of_a_user_is_there_for_who_may_look(as_looker: Client, there: int) -> None:
    url = f"/admin/accounts/user/{there}/history/"
    assert as_looker.get(url).status_code == 200
    assert as_looker.post(url).status_code == 405


@pytest.mark.parametrize(
    "query",
    [
        "/admin/accounts/user/?password__startswith=md5",
        "/admin/accounts/user/?groups__user__password__startswith=md5",
        "/admin/accounts/user/?logentry__user__password__startswith=md5",
        "/admin/accounts/user/?user_permissions__user__password__startswith=md5",
        "/admin/accounts/user/?_to_field=password",
        "/admin/auth/group/?user__password__startswith=md5",
        "/admin/joblogs/userlog/?user__password__startswith=md5",
    ],
)
def test_lists_are_not_filtered_by_passwords(as_administrator: Client, query: str) -> None:
    assert as_administrator.get(query).status_code == 400


def test_the_stored_password_is_not_shown(as_looker: Client, looker: User, there: int) -> None:
    for pk in (looker.pk, there):
        page = as_looker.get(f"/admin/accounts/user/{pk}/change/").content.decode()
        assert User.objects.get(pk=pk).password.split("$")[-1] not in page


@pytest.mark.parametrize("page", ["new", "{pk}/password"])
def test_error_reports_hold_no_password(
    as_administrator: Client, there: int, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    failed: list[HttpRequest] = []

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("something else")

    def record(request: HttpRequest, **kwargs: Any) -> None:
        failed.append(request)

    monkeypatch.setattr(User, "save", fail)
    got_request_exception.connect(record)
    form = {"username": "bob", "password1": PASSWORD, "password2": PASSWORD}
    try:
        with pytest.raises(ValueError, match="something else"):
            as_administrator.post(f"/users/{page.format(pk=there)}/", form)
    finally:
        got_request_exception.disconnect(record)
    (request,) = failed
    reported = SafeExceptionReporterFilter().get_post_parameters(request)
    assert request.POST["password1"] == PASSWORD
    assert PASSWORD not in reported.values()


def test_the_admin_leads_to_the_page_of_a_user_itself(as_administrator: Client, there: int) -> None:
    page = as_administrator.get(f"/admin/accounts/user/{there}/change/").content.decode()
    assert f'<a href="/users/{there}/" class="viewsitelink">' in page
