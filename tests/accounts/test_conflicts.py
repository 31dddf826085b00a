"""Who is overtaken by somebody else's change is told so, and nothing is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.db import connection

from accounts import rights
from accounts.conflicts import OVERTAKEN
from accounts.models import User
from tests.accounts.ways import ADMIN_FORM
from tests.meanwhile import logged_in, meanwhile, overtaken

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)

NEW_USER = {"username": "alice", "usable_password": "false"}


def told(client: Client, answer: Any) -> list[str]:
    """Return all that the page says to which the answer leads."""
    assert answer.status_code == 302
    page = client.get(answer["Location"], follow=True)
    assert page.status_code == 200
    return [str(message) for message in page.context["messages"]]


@pytest.mark.parametrize(
    ("url", "form", "take"),
    [
        ("/admin/auth/group/add/", {"name": "g"}, lambda: Group.objects.create(name="g")),
        ("/admin/accounts/user/add/", NEW_USER, lambda: User.objects.create_user("ALICE")),
    ],
)
def test_a_name_that_is_taken_at_the_same_moment(
    administrator: User, url: str, form: dict[str, str], take: Callable[[], object]
) -> None:
    client = logged_in(administrator)
    assert told(client, overtaken(lambda: client.post(url, form), take)) == [OVERTAKEN]
    assert not LogEntry.objects.exists()


def test_a_name_that_is_taken_while_an_account_is_renamed(administrator: User, alice: User) -> None:
    client = logged_in(administrator)
    form = {**ADMIN_FORM, "username": "bob"}
    answer = overtaken(
        lambda: client.post(f"/admin/accounts/user/{alice.pk}/change/", form),
        lambda: User.objects.create_user("BOB"),
    )
    assert told(client, answer) == [OVERTAKEN]
    alice.refresh_from_db()
    assert (alice.username, alice.is_superuser) == ("alice", False)


def test_a_group_that_is_deleted_while_somebody_is_put_into_it(
    administrator: User, alice: User, group: Group
) -> None:
    client = logged_in(administrator)
    form = {**ADMIN_FORM, "username": "alicia", "groups": str(group.pk)}
    answer = overtaken(
        lambda: client.post(f"/admin/accounts/user/{alice.pk}/change/", form), group.delete
    )
    # Not that it was changed, as Django had said before the commit.
    assert told(client, answer) == [OVERTAKEN]
    alice.refresh_from_db()
    assert (alice.username, alice.is_superuser) == ("alice", False)


@pytest.mark.parametrize("way", ["one", "the action"])
def test_somebody_who_is_put_into_a_group_while_it_is_deleted(
    administrator: User, alice: User, group: Group, way: str
) -> None:
    def join() -> None:
        alice.groups.add(group)
        connection.check_constraints()  # as at the commit: now the group's row is in use

    url, form = f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}
    if way == "the action":
        url = "/admin/auth/group/"
        form |= {"action": "delete_selected", "_selected_action": str(group.pk)}
    client = logged_in(administrator)
    assert told(client, overtaken(lambda: client.post(url, form), join)) == [OVERTAKEN]
    assert list(alice.groups.all()) == [group]


@pytest.mark.parametrize("url", ["/users/{}/delete/", "/admin/accounts/user/{}/delete/"])
def test_who_is_deleted_meanwhile_does_nothing_in_the_admin(
    administrator: User, alice: User, url: str
) -> None:
    def do_something() -> None:
        LogEntry.objects.log_actions(alice.pk, [alice], CHANGE)
        connection.check_constraints()  # as at the commit: now the account's row is in use

    client = logged_in(administrator)
    answer = overtaken(lambda: client.post(url.format(alice.pk), {"post": "yes"}), do_something)
    assert told(client, answer) == [OVERTAKEN]
    assert LogEntry.objects.get().user == alice


@pytest.mark.parametrize(
    ("url", "form"),
    [("/admin/auth/group/add/", {"name": "group"}), ("/admin/accounts/user/add/", NEW_USER)],
)
def test_who_is_deleted_meanwhile_adds_nothing(
    administrator: User, url: str, form: dict[str, str]
) -> None:
    client = logged_in(administrator)
    answer = meanwhile(lambda: client.post(url, form), administrator.delete, administrator)
    assert answer.status_code == 403
    assert rights.CHANGED_MEANWHILE in answer.content.decode()
    assert not Group.objects.exists()
    assert not User.objects.exists()
