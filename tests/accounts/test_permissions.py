"""Staff with the right permission get in, each permission on its own; others learn why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

PAGES = {
    "/users/": ("accounts.view_user",),
    "/users/{pk}/": ("accounts.view_user",),
    "/users/{pk}/logs/": ("accounts.view_user", "joblogs.view_userlog"),
    "/users/new/": ("accounts.add_user",),
    "/users/{pk}/edit/": ("accounts.change_user",),
    "/users/{pk}/password/": ("accounts.change_user",),
    "/users/{pk}/delete/": ("accounts.delete_user",),
    "/logs/": ("joblogs.view_userlog",),
    "/admin/accounts/user/": ("accounts.view_user",),
    "/admin/joblogs/userlog/": ("joblogs.view_userlog",),
}
OURS = [page for page in PAGES if not page.startswith("/admin/")]
EVERY = {
    "accounts.view_user",
    "accounts.add_user",
    "accounts.change_user",
    "accounts.delete_user",
    "joblogs.view_userlog",
}


@pytest.fixture
def account(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.mark.parametrize("page", PAGES)
def test_an_administrator_opens_every_page(
    as_administrator: Client, account: User, page: str
) -> None:
    assert as_administrator.get(page.format(pk=account.pk)).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_led_to_the_login_page(client: Client, account: User, page: str) -> None:
    url = page.format(pk=account.pk)
    response = client.get(url)
    assert response.status_code == 302
    assert response["Location"] == f"/login/?next={url}"


@pytest.mark.parametrize("page", OURS)
def test_a_user_who_is_not_staff_is_told_so(
    client: Client, outsider: User, account: User, page: str
) -> None:
    client.force_login(outsider)
    for response in (client.get(url := page.format(pk=account.pk)), client.post(url)):
        assert response.status_code == 403
        assert "for staff members" in response.content.decode()
    assert User.objects.filter(pk=account.pk).exists()


@pytest.mark.parametrize("page", OURS)
def test_the_permissions_of_a_page_are_enough(
    client: Client, staff: Callable[..., User], account: User, page: str
) -> None:
    client.force_login(staff(*PAGES[page]))
    assert client.get(page.format(pk=account.pk)).status_code == 200


@pytest.mark.parametrize(
    ("page", "missing"),
    [(page, permission) for page in OURS for permission in PAGES[page]],
)
def test_without_a_permission_a_page_says_which_one_is_missing(
    client: Client, staff: Callable[..., User], account: User, page: str, missing: str
) -> None:
    client.force_login(staff(*EVERY - {missing}))
    for response in (client.get(url := page.format(pk=account.pk)), client.post(url)):
        assert response.status_code == 403
        assert f"({missing})" in response.content.decode()
    assert User.objects.filter(pk=account.pk).exists()


def test_who_may_only_look_sees_no_buttons_that_change(as_looker: Client, account: User) -> None:
    for url in ("/users/", f"/users/{account.pk}/"):
        page = as_looker.get(url).content.decode()
        for action in ("/new/", "/edit/", "/password/", "/delete/"):
            assert f'{action}"' not in page.replace('/password/">Change password', "")


def test_a_user_page_without_the_right_to_see_logs_shows_none(
    client: Client, staff: Callable[..., User], account: User
) -> None:
    client.force_login(staff("accounts.view_user"))
    page = client.get(f"/users/{account.pk}/").content.decode()
    assert 'id="user-logs"' not in page
    assert "joblogs.view_userlog" in page


def test_a_part_of_a_page_without_a_session_asks_for_the_whole(
    client: Client, account: User
) -> None:
    response = client.get(f"/users/{account.pk}/logs/", headers={"HX-Request": "true"})
    assert response.status_code == 204
    assert response["HX-Refresh"] == "true"


def test_a_part_of_a_page_does_so_too_when_a_permission_has_ended(
    client: Client, staff: Callable[..., User], account: User
) -> None:
    client.force_login(staff("accounts.view_user"))
    response = client.get(f"/users/{account.pk}/logs/", headers={"HX-Request": "true"})
    assert response.status_code == 204
    assert response["HX-Refresh"] == "true"


@pytest.mark.parametrize(
    ("permissions", "page"),
    [
        (EVERY, "/users/"),
        ({"joblogs.view_userlog"}, "/logs/"),
        ({"accounts.add_user"}, "/users/new/"),
        (set(), "/admin/"),
    ],
)
def test_the_front_page_leads_to_what_one_may_open(
    client: Client, staff: Callable[..., User], permissions: set[str], page: str
) -> None:
    client.force_login(staff(*permissions))
    assert client.get("/")["Location"] == page


def test_the_front_page_tells_others_that_it_is_not_for_them(
    client: Client, outsider: User
) -> None:
    assert client.get("/")["Location"] == "/login/?next=/"
    client.force_login(outsider)
    assert client.get("/").status_code == 403


def test_who_may_only_add_users_comes_back_to_add_the_next(
    client: Client, staff: Callable[..., User]
) -> None:
    client.force_login(staff("accounts.add_user"))
    form = {"username": "bob", "usable_password": "false"}
    response = client.post("/users/new/", form, follow=True)
    assert response.redirect_chain[-1] == ("/users/new/", 302)
    assert "bob was created." in response.content.decode()
