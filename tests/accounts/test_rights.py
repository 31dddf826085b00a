"""Nobody manages an account with more rights than their own, and nobody changes their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group

from accounts import rights
from accounts.models import User
from joblogs.models import UserLog
from tests.permissions import permission

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

MANAGE = ("accounts.view_user", "accounts.change_user", "accounts.delete_user")
BEYOND = "alice has rights that you do not have."
PAGES = {
    "edit": {"username": "alicia"},
    "password": {"password1": "correct horse battery", "password2": "correct horse battery"},
    "delete": {},
}
ADMIN_PAGES = {
    "change": {"username": "alicia", "date_joined_0": "2026-01-01", "date_joined_1": "12:00"},
    "password": PAGES["password"],
    "delete": {"post": "yes"},
}


def by_permission(account: User) -> None:
    account.user_permissions.add(permission("joblogs.view_userlog"))


def by_group(account: User) -> None:
    group = Group.objects.create(name="readers")
    group.permissions.add(permission("joblogs.view_userlog"))
    account.groups.add(group)


def by_superuser_flag(account: User) -> None:
    account.is_superuser = True
    account.save()


MORE_RIGHTS: dict[str, Callable[[User], None]] = {
    "by a permission": by_permission,
    "by a group": by_group,
    "as superuser": by_superuser_flag,
}


@pytest.fixture
def manager(staff: Callable[..., User]) -> User:
    """A staff member who may do everything with users, and nothing else."""
    return staff(*MANAGE, username="manager")


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password="password", is_staff=True)


@pytest.fixture(params=["active", "inactive"])
def superior(request: pytest.FixtureRequest, alice: User) -> Callable[[str], User]:
    """Give Alice more rights than the manager has."""

    def make(way: str) -> User:
        MORE_RIGHTS[way](alice)
        alice.is_active = request.param == "active"
        alice.save()
        return alice

    return make


def unchanged(account: User) -> bool:
    before = {f.attname: getattr(account, f.attname) for f in User._meta.concrete_fields}
    return User.objects.filter(pk=account.pk).values().get() == before


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("way", MORE_RIGHTS)
def test_who_has_more_rights_is_not_managed_on_the_pages(
    as_manager: Client, superior: Callable[[str], User], way: str, page: str
) -> None:
    account = superior(way)
    url = f"/users/{account.pk}/{page}/"
    for answer in (as_manager.get(url), as_manager.post(url, PAGES[page])):
        assert answer.status_code == 403
        assert BEYOND in answer.content.decode()
    assert unchanged(account)


@pytest.mark.parametrize("page", ADMIN_PAGES)
@pytest.mark.parametrize("way", MORE_RIGHTS)
def test_who_has_more_rights_is_not_managed_in_the_admin(
    as_manager: Client, superior: Callable[[str], User], way: str, page: str
) -> None:
    account = superior(way)
    url = f"/admin/accounts/user/{account.pk}/{page}/"
    assert as_manager.post(url, ADMIN_PAGES[page]).status_code == 403
    if page == "change":
        answer = as_manager.get(url)
        assert answer.status_code == 200
        assert answer.context["title"] == "View user"
        assert 'name="_save"' not in answer.content.decode()
    else:
        assert as_manager.get(url).status_code == 403
    assert unchanged(account)


@pytest.mark.parametrize("way", MORE_RIGHTS)
def test_the_action_deletes_nobody_when_one_has_more_rights(
    as_manager: Client, superior: Callable[[str], User], way: str
) -> None:
    account, bob = superior(way), User.objects.create_user("bob")
    form = {"action": "delete_selected", "_selected_action": [account.pk, bob.pk]}
    answer = as_manager.post("/admin/accounts/user/", form)
    assert BEYOND in answer.content.decode()
    assert as_manager.post("/admin/accounts/user/", form | {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk__in=[account.pk, bob.pk]).count() == 2


@pytest.mark.parametrize("way", MORE_RIGHTS)
def test_no_button_leads_to_what_would_be_refused(
    as_manager: Client, superior: Callable[[str], User], way: str
) -> None:
    account = superior(way)
    page = as_manager.get(f"/users/{account.pk}/").content.decode()
    for action in PAGES:
        assert f"/users/{account.pk}/{action}/" not in page


def test_who_has_no_more_rights_is_managed(as_manager: Client, alice: User) -> None:
    alice.user_permissions.add(permission("accounts.change_user"))
    page = as_manager.get(f"/users/{alice.pk}/").content.decode()
    for action, form in PAGES.items():
        url = f"/users/{alice.pk}/{action}/"
        assert url in page
        assert as_manager.get(url).status_code == 200
        assert as_manager.post(url, form).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()


def test_who_has_no_more_rights_is_managed_in_the_admin(as_manager: Client, alice: User) -> None:
    alice.user_permissions.add(permission("accounts.change_user"))
    for action, form in ADMIN_PAGES.items():
        url = f"/admin/accounts/user/{alice.pk}/{action}/"
        assert as_manager.get(url).status_code == 200
        assert as_manager.post(url, form).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()


def test_superusers_manage_each_other(as_administrator: Client, alice: User) -> None:
    by_superuser_flag(alice)
    for action, form in PAGES.items():
        assert as_administrator.post(f"/users/{alice.pk}/{action}/", form).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()


def test_a_staff_member_is_beyond_one_who_is_not(alice: User, outsider: User) -> None:
    assert not rights.manageable_users(outsider).filter(pk=alice.pk).exists()
    assert rights.manageable_users(alice).filter(pk=alice.pk).exists()


@pytest.mark.parametrize("url", ["/users/{pk}/delete/", "/admin/accounts/user/{pk}/delete/"])
def test_nobody_deletes_their_own_account(
    as_administrator: Client, administrator: User, url: str
) -> None:
    url = url.format(pk=administrator.pk)
    assert as_administrator.get(url).status_code == 403
    answer = as_administrator.post(url, {"post": "yes"})
    assert answer.status_code == 403
    if url.startswith("/users/"):
        assert rights.NOT_ONESELF in answer.content.decode()
    assert f"{url}" not in as_administrator.get(f"/users/{administrator.pk}/").content.decode()
    assert User.objects.filter(pk=administrator.pk).exists()


def test_nobody_deletes_their_own_account_among_others(
    as_administrator: Client, administrator: User, alice: User
) -> None:
    UserLog.objects.write(user_id=alice.pk)
    form = {"action": "delete_selected", "_selected_action": [administrator.pk, alice.pk]}
    for everything in ({}, {"select_across": "1"}):
        answer = as_administrator.post("/admin/accounts/user/", form | everything)
        assert rights.NOT_ONESELF in answer.content.decode()
        answer = as_administrator.post("/admin/accounts/user/", form | everything | {"post": "yes"})
        assert answer.status_code == 403
    assert User.objects.count() == 2
    assert UserLog.objects.exists()


def test_nobody_deactivates_themselves(as_administrator: Client, administrator: User) -> None:
    url = f"/users/{administrator.pk}/edit/"
    assert "You cannot deactivate your own account." in as_administrator.get(url).content.decode()
    answer = as_administrator.post(url, {"username": "administrator", "first_name": "Ada"})
    assert answer.status_code == 302
    administrator.refresh_from_db()
    assert (administrator.first_name, administrator.is_active) == ("Ada", True)


@pytest.mark.parametrize("superuser", [True, False])
def test_nobody_changes_their_own_rights_in_the_admin(
    as_manager: Client, manager: User, superuser: bool
) -> None:
    manager.is_superuser = superuser
    manager.save()
    group = Group.objects.create(name="nothing")
    form: dict[str, Any] = ADMIN_PAGES["change"] | {
        "is_superuser": "" if superuser else "on",
        "groups": [group.pk],
        "user_permissions": [permission("accounts.view_user").pk],
    }
    url = f"/admin/accounts/user/{manager.pk}/change/"
    page = as_manager.get(url).content.decode()
    for field in ("is_active", "is_staff", "is_superuser", "groups", "user_permissions"):
        assert f'name="{field}"' not in page
    assert as_manager.post(url, form).status_code == 302
    manager.refresh_from_db()
    assert manager.username == "alicia"
    assert (manager.is_active, manager.is_staff, manager.is_superuser) == (True, True, superuser)
    assert manager.user_permissions.count() == len(MANAGE)
    assert not manager.groups.exists()


def test_ones_own_password_is_changed_where_it_is_asked_for(
    as_administrator: Client, administrator: User
) -> None:
    form = {"password1": "correct horse battery", "password2": "correct horse battery"}
    for url in (
        f"/users/{administrator.pk}/password/",
        f"/admin/accounts/user/{administrator.pk}/password/",
        f"/admin/accounts/user/0{administrator.pk}/password/",
    ):
        for answer in (
            as_administrator.get(url),
            as_administrator.post(url, form),
            as_administrator.post(url, {"usable_password": "false", "unset-password": "1"}),
        ):
            assert answer["Location"] == "/password/"
    administrator.refresh_from_db()
    assert administrator.check_password("password")
