"""Who loses a permission before their change is committed does not make the change any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from accounts import rights
from accounts.models import User
from tests.accounts.ways import TO_A_GROUP, TO_AN_ACCOUNT, act_on_account, act_on_group
from tests.meanwhile import logged_in, meanwhile
from tests.permissions import permission

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

HELD = [
    model.format(verb)
    for model in ("accounts.{}_user", "auth.{}_group")
    for verb in ("view", "add", "change", "delete")
]


@pytest.fixture
def manager(staff: Callable[..., User]) -> User:
    """A staff member who may do everything with users and groups."""
    return staff(*HELD, username="manager")


@pytest.fixture(params=["given to them", "given by a group"])
def lose(request: pytest.FixtureRequest, manager: User) -> Callable[[], object]:
    """Take the permissions away from the manager."""
    if request.param == "given to them":
        return manager.user_permissions.clear
    managers = Group.objects.create(name="managers")
    managers.permissions.set(manager.user_permissions.all())
    manager.user_permissions.clear()
    manager.groups.add(managers)
    return managers.permissions.clear


@pytest.mark.parametrize("way", TO_AN_ACCOUNT)
def test_an_account_stays_as_it_is(manager: User, lose: Callable[[], object], way: str) -> None:
    client, alice = logged_in(manager), User.objects.create_user("alice", password="password")
    before = User.objects.filter(pk=alice.pk).values().get()
    answer = meanwhile(lambda: act_on_account(client, way, alice), lose, manager)
    assert answer.status_code == 403
    assert User.objects.filter(pk=alice.pk).values().get() == before


@pytest.mark.parametrize("way", TO_A_GROUP)
def test_a_group_stays_as_it_is(manager: User, lose: Callable[[], object], way: str) -> None:
    client, group = logged_in(manager), Group.objects.create(name="group")
    answer = meanwhile(lambda: act_on_group(client, way, group), lose, manager)
    assert answer.status_code == 403
    group.refresh_from_db()
    assert group.name == "group"


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("/admin/auth/group/add/", {"name": "group"}),
        ("/admin/accounts/user/add/", {"username": "alice", "usable_password": "false"}),
    ],
)
def test_nothing_is_added(
    manager: User, lose: Callable[[], object], url: str, form: dict[str, str]
) -> None:
    client = logged_in(manager)
    answer: Any = meanwhile(lambda: client.post(url, form), lose, manager)
    assert answer.status_code == 403
    assert not Group.objects.filter(name="group").exists()
    assert not User.objects.filter(username="alice").exists()


def test_who_keeps_a_permission_goes_on(manager: User) -> None:
    client, alice = logged_in(manager), User.objects.create_user("alice")
    taken = permission("accounts.add_user")
    answer = meanwhile(
        lambda: client.post(f"/users/{alice.pk}/delete/"),
        lambda: manager.user_permissions.remove(taken),
        manager,
    )
    assert answer.status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()


def test_permissions_are_asked_for_again_by_who_holds(manager: User) -> None:
    assert manager.has_perm("accounts.view_user")
    manager.user_permissions.clear()
    with transaction.atomic():
        rights.hold(manager, [])
    assert not manager.has_perm("accounts.view_user")
