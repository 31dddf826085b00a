"""What the admin looked at is what it changes, whatever happens meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts import rights
from accounts.admin import UserAdmin
from accounts.models import User
from tests.accounts.ways import TO_A_GROUP, act_on_group
from tests.meanwhile import logged_in, meanwhile
from tests.permissions import permission

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import Group
    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager(staff: Callable[..., User]) -> User:
    return staff("auth.view_group", "auth.change_group", "auth.delete_group")


@pytest.mark.parametrize("way", TO_A_GROUP)
def test_a_group_that_is_given_more_meanwhile_stays_as_it_is(
    manager: User, group: Group, way: str
) -> None:
    client, given = logged_in(manager), permission("accounts.delete_user")
    answer = meanwhile(
        lambda: act_on_group(client, way, group), lambda: group.permissions.add(given), group
    )
    assert answer.status_code == 403
    group.refresh_from_db()
    assert group.name == "group"
    assert list(group.permissions.all()) == [given]


@pytest.mark.parametrize("way", TO_A_GROUP)
def test_who_is_deleted_meanwhile_changes_no_group(manager: User, group: Group, way: str) -> None:
    client = logged_in(manager)
    answer = meanwhile(lambda: act_on_group(client, way, group), lambda: manager.delete(), manager)
    assert answer.status_code == 403
    assert rights.CHANGED_MEANWHILE in answer.content.decode()
    group.refresh_from_db()
    assert group.name == "group"


def test_who_joins_a_selection_later_is_not_deleted(
    as_administrator: Client, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def joined(*args: object) -> None:
        User.objects.create_superuser("bobby")

    monkeypatch.setattr(UserAdmin, "log_deletions", joined)
    bob = User.objects.create_user("bob")
    form = {"action": "delete_selected", "select_across": "1", "post": "yes"}
    as_administrator.post("/admin/accounts/user/?q=bob", form | {"_selected_action": str(bob.pk)})
    assert set(User.objects.values_list("username", flat=True)) == {"administrator", "bobby"}
