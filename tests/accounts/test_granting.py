"""In the admin people grant what they have themselves, to users and to groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group

from accounts import rights
from accounts.models import User
from tests.permissions import permission

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

HELD = ("accounts.view_user", "accounts.change_user", "joblogs.view_userlog")
OF_GROUPS = ("auth.view_group", "auth.change_group", "auth.delete_group", "auth.add_group")
LACKING = "accounts.delete_user"


@pytest.fixture
def manager(staff: Callable[..., User]) -> User:
    return staff(*HELD, *OF_GROUPS, username="manager")


@pytest.fixture
def make_group(db: None) -> Callable[..., Group]:
    """Make a group that gives just these permissions."""

    def make(*permissions: str, name: str = "group") -> Group:
        made = Group.objects.create(name=name)
        made.permissions.set([permission(name) for name in permissions])
        return made

    return make


def change(client: Client, account: User, **values: Any) -> Any:
    form = {
        "username": account.username,
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "12:00",
    }
    return client.post(f"/admin/accounts/user/{account.pk}/change/", form | values)


def choices(answer: Any, field: str) -> set[Any]:
    return set(answer.context["adminform"].form.fields[field].queryset)


def test_one_grants_what_one_has(
    as_manager: Client, alice: User, make_group: Callable[..., Group]
) -> None:
    readers = make_group("joblogs.view_userlog")
    view = permission("accounts.view_user")
    answer = change(
        as_manager, alice, is_staff="on", groups=[readers.pk], user_permissions=[view.pk]
    )
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert alice.is_staff
    assert list(alice.groups.all()) == [readers]
    assert list(alice.user_permissions.all()) == [view]


def test_one_is_offered_what_one_has_and_no_more(
    as_manager: Client, alice: User, make_group: Callable[..., Group]
) -> None:
    held = {permission(name) for name in (*HELD, *OF_GROUPS)}
    nothing, readers = (
        make_group(name="nothing"),
        make_group("joblogs.view_userlog", name="readers"),
    )
    make_group("joblogs.view_userlog", LACKING, name="deleters")
    answer = as_manager.get(f"/admin/accounts/user/{alice.pk}/change/")
    assert choices(answer, "user_permissions") == held
    assert choices(answer, "groups") == {nothing, readers}
    assert choices(as_manager.get("/admin/auth/group/add/"), "permissions") == held


def test_what_one_has_by_a_group_one_may_grant(
    as_manager: Client, manager: User, alice: User, make_group: Callable[..., Group]
) -> None:
    manager.groups.add(make_group(LACKING))
    granted = permission(LACKING)
    assert change(as_manager, alice, user_permissions=[granted.pk]).status_code == 302
    assert list(alice.user_permissions.all()) == [granted]


def test_a_forged_permission_is_refused(as_manager: Client, alice: User) -> None:
    answer = change(as_manager, alice, user_permissions=[permission(LACKING).pk])
    assert "user_permissions" in answer.context["adminform"].form.errors
    assert not alice.user_permissions.exists()


def test_a_forged_group_is_refused(
    as_manager: Client, alice: User, make_group: Callable[..., Group]
) -> None:
    answer = change(as_manager, alice, groups=[make_group("joblogs.view_userlog", LACKING).pk])
    assert "groups" in answer.context["adminform"].form.errors
    assert not alice.groups.exists()


@pytest.mark.parametrize("saving", ["_save", "_saveasnew"])
def test_a_forged_superuser_flag_is_ignored(as_manager: Client, alice: User, saving: str) -> None:
    answer = change(as_manager, alice, is_superuser="on", **{saving: "1"})
    assert answer.status_code == (302 if saving == "_save" else 403)
    assert 'name="is_superuser"' not in answer.content.decode()
    assert not User.objects.filter(is_superuser=True).exists()


def test_a_new_user_has_no_rights_whatever_is_posted(
    client: Client, staff: Callable[..., User]
) -> None:
    client.force_login(staff("accounts.add_user", "accounts.change_user"))
    form = {"usable_password": "false", "is_staff": "on", "is_superuser": "on"}
    form["user_permissions"] = str(permission("accounts.add_user").pk)
    account = User.objects.create_user("alice")
    for name, url in (
        ("bob", "/admin/accounts/user/add/"),
        ("carol", "/users/new/"),
        ("dave", f"/admin/accounts/user/{account.pk}/change/"),
    ):
        client.post(url, form | {"username": name, "_saveasnew": "1"})
        user = User.objects.get(username=name)
        assert not user.is_staff
        assert not user.is_superuser
        assert not user.user_permissions.exists()


def test_a_superuser_grants_everything(
    as_administrator: Client, alice: User, make_group: Callable[..., Group]
) -> None:
    deleters, delete = make_group(LACKING), permission(LACKING)
    change(
        as_administrator,
        alice,
        is_superuser="on",
        groups=[deleters.pk],
        user_permissions=[delete.pk],
    )
    alice.refresh_from_db()
    assert alice.is_superuser
    assert list(alice.groups.all()) == [deleters]
    assert list(alice.user_permissions.all()) == [delete]


def test_an_edit_keeps_the_grants_of_the_account(
    as_manager: Client, alice: User, make_group: Callable[..., Group]
) -> None:
    readers, view = make_group("joblogs.view_userlog"), permission("accounts.view_user")
    alice.groups.add(readers)
    alice.user_permissions.add(view)
    page = as_manager.get(f"/admin/accounts/user/{alice.pk}/change/")
    initial = page.context["adminform"].form.initial
    change(
        as_manager,
        alice,
        first_name="Alice",
        groups=[made.pk for made in initial["groups"]],
        user_permissions=[held.pk for held in initial["user_permissions"]],
    )
    alice.refresh_from_db()
    assert alice.first_name == "Alice"
    assert list(alice.groups.all()) == [readers]
    assert list(alice.user_permissions.all()) == [view]


def test_a_group_is_given_the_permissions_one_has(
    as_manager: Client, make_group: Callable[..., Group]
) -> None:
    readers, view = make_group(), permission("accounts.view_user")
    url = f"/admin/auth/group/{readers.pk}/change/"
    form: dict[str, Any] = {"name": "readers", "permissions": [view.pk]}
    assert as_manager.post(url, form).status_code == 302
    assert list(readers.permissions.all()) == [view]
    form["permissions"].append(permission(LACKING).pk)
    answer = as_manager.post(url, form)
    assert "permissions" in answer.context["adminform"].form.errors
    assert list(readers.permissions.all()) == [view]
    answer = as_manager.post("/admin/auth/group/add/", form | {"name": "others"})
    assert "permissions" in answer.context["adminform"].form.errors
    assert Group.objects.count() == 1


@pytest.mark.parametrize("why", ["gives more", "one's own"])
def test_a_group_that_gives_more_or_is_ones_own_stays_as_it_is(
    as_manager: Client, manager: User, make_group: Callable[..., Group], why: str
) -> None:
    kept = make_group(LACKING if why == "gives more" else "joblogs.view_userlog")
    if why == "one's own":
        manager.groups.add(kept)
    url = f"/admin/auth/group/{kept.pk}"
    assert as_manager.get(f"{url}/change/").context["title"] == "View group"
    assert as_manager.post(f"{url}/change/", {"name": "mine"}).status_code == 403
    assert as_manager.get(f"{url}/delete/").status_code == 403
    assert as_manager.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    other = make_group(name="other")
    form = {"action": "delete_selected", "_selected_action": [kept.pk, other.pk]}
    answer = as_manager.post("/admin/auth/group/", form)
    assert "group is a group of yours, gives rights" in answer.content.decode()
    assert as_manager.post("/admin/auth/group/", form | {"post": "yes"}).status_code == 403
    assert set(Group.objects.values_list("name", flat=True)) == {"group", "other"}
    assert kept.permissions.count() == 1


MORE_RIGHTS: dict[str, Callable[[User, Group], object]] = {
    "by a permission": lambda bob, _: bob.user_permissions.add(permission(LACKING)),
    "by another group": lambda bob, deleters: bob.groups.add(deleters),
    "as superuser": lambda bob, _: User.objects.filter(pk=bob.pk).update(is_superuser=True),
}


@pytest.mark.parametrize("way", MORE_RIGHTS)
def test_nobody_takes_rights_by_a_group_from_who_has_more(
    as_manager: Client, alice: User, make_group: Callable[..., Group], way: str
) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    kept, deleters = make_group("joblogs.view_userlog"), make_group(LACKING, name="deleters")
    kept.user_set.add(alice, bob)
    MORE_RIGHTS[way](bob, deleters)
    url = f"/admin/auth/group/{kept.pk}"
    assert as_manager.get(f"{url}/change/").context["title"] == "View group"
    assert as_manager.post(f"{url}/change/", {"name": "none"}).status_code == 403
    assert as_manager.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    form = {"action": "delete_selected", "_selected_action": kept.pk}
    answer = as_manager.post("/admin/auth/group/", form)
    assert "or has a member who has such rights" in answer.content.decode()
    assert as_manager.post("/admin/auth/group/", form | {"post": "yes"}).status_code == 403
    assert list(kept.permissions.all()) == [permission("joblogs.view_userlog")]
    kept.user_set.remove(bob)
    assert as_manager.post(f"{url}/delete/", {"post": "yes"}).status_code == 302


def test_a_group_of_staff_is_beyond_who_is_not_staff(
    outsider: User, alice: User, make_group: Callable[..., Group]
) -> None:
    made = make_group()
    made.user_set.add(alice)
    assert list(rights.manageable_groups(outsider)) == [made]
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert not rights.manageable_groups(outsider).exists()


def test_a_superuser_changes_and_deletes_every_group(
    as_administrator: Client, administrator: User, make_group: Callable[..., Group]
) -> None:
    mine = make_group(LACKING)
    administrator.groups.add(mine)
    url = f"/admin/auth/group/{mine.pk}"
    assert as_administrator.post(f"{url}/change/", {"name": "none"}).status_code == 302
    assert not mine.permissions.exists()
    assert "Memberships: 1" in as_administrator.get(f"{url}/delete/").content.decode()
    assert as_administrator.post(f"{url}/delete/", {"post": "yes"}).status_code == 302
    assert not Group.objects.exists()


def test_groups_are_deleted_by_the_action(
    as_manager: Client, make_group: Callable[..., Group]
) -> None:
    form = {"action": "delete_selected", "post": "yes"}
    pks = [make_group(name=name).pk for name in ("one", "two")]
    as_manager.post("/admin/auth/group/", form | {"_selected_action": pks})
    assert not Group.objects.exists()
