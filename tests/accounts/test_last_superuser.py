"""The last active superuser stays, also when two act on each other at the same instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction

from accounts import rights
from accounts.models import User
from joblogs.models import UserLog
from tests.accounts.ways import TO_AN_ACCOUNT, act_on_account
from tests.meanwhile import logged_in, meanwhile
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse

pytestmark = pytest.mark.django_db(transaction=True)

PAIRS = [(way, way) for way in TO_AN_ACCOUNT] + [
    ("delete", "demote in the admin"),
    ("delete by the action", "deactivate"),
    ("delete in the admin", "take the password"),
]


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada", password="password")


@pytest.fixture
def bob() -> User:
    return User.objects.create_superuser("bob", password="password")


def is_in_charge(user: User) -> bool:
    """Whether the user is still a superuser who can log in."""
    now = User.objects.filter(pk=user.pk, is_active=True, is_superuser=True).first()
    return now is not None and now.has_usable_password()


def succeeded(answer: HttpResponse) -> bool:
    return answer.status_code == 302 and not answer["Location"].startswith("/login/")


@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_of_two_who_act_on_each_other_one_succeeds_and_stays(
    in_threads: Callable[..., list[BaseException | None]],
    ada: User,
    bob: User,
    one: str,
    other: str,
    attempt: int,
) -> None:
    answers: dict[User, Any] = {}
    clients = {ada: logged_in(ada), bob: logged_in(bob)}

    def run(actor: User, way: str, account: User) -> None:
        answers[actor] = act_on_account(clients[actor], way, account)

    errors = in_threads(lambda: run(ada, one, bob), lambda: run(bob, other, ada))

    assert errors == [None, None]
    in_charge = [user for user in (ada, bob) if is_in_charge(user)]
    assert len(in_charge) == 1
    assert [user for user in (ada, bob) if succeeded(answers[user])] == in_charge
    # Refused, or no longer known when the request came.
    loser = answers[bob if in_charge == [ada] else ada]
    assert loser.status_code in {302, 403}


LOSSES: dict[str, dict[str, object]] = {
    "demoted": {"is_superuser": False},
    "no longer staff": {"is_staff": False},
    "deactivated": {"is_active": False},
    "given another password": {"password": "!another"},
}


@pytest.mark.parametrize("loss", [*LOSSES, "deleted"])
@pytest.mark.parametrize("way", TO_AN_ACCOUNT)
def test_who_loses_their_rights_while_they_wait_changes_nothing(
    ada: User, bob: User, way: str, loss: str
) -> None:
    client = logged_in(bob)

    def lose() -> None:
        accounts = User.objects.filter(pk=bob.pk)
        if loss == "deleted":
            accounts.delete()
        else:
            accounts.update(**LOSSES[loss])

    answer = meanwhile(lambda: act_on_account(client, way, ada), lose, bob)
    assert answer.status_code == 403
    assert rights.CHANGED_MEANWHILE in answer.content.decode().replace("&#x27;", "'")
    assert is_in_charge(ada)


def act_while_promoted(staff: Callable[..., User], way: str, account: User) -> Any:
    """Return the answer to somebody who manages an account that is made a superuser meanwhile."""
    client = logged_in(staff("accounts.change_user", "accounts.delete_user"))

    def promote() -> None:
        User.objects.filter(pk=account.pk).update(is_superuser=True)

    return meanwhile(lambda: act_on_account(client, way, account), promote, account)


@pytest.mark.parametrize("way", ["delete", "deactivate", "take the password"])
def test_who_is_promoted_meanwhile_is_not_managed_any_more(
    staff: Callable[..., User], alice: User, way: str
) -> None:
    answer = act_while_promoted(staff, way, alice)
    assert answer.status_code == 403
    assert "alice has rights that you do not have." in answer.content.decode()
    assert is_in_charge(alice)


@pytest.mark.parametrize("way", [way for way in TO_AN_ACCOUNT if "admin" in way or "action" in way])
def test_who_is_promoted_meanwhile_is_safe_in_the_admin(
    staff: Callable[..., User], alice: User, way: str
) -> None:
    assert act_while_promoted(staff, way, alice).status_code == 403
    assert is_in_charge(alice)


@pytest.mark.parametrize("way", TO_AN_ACCOUNT)
def test_an_edit_brings_back_nobody_who_was_deleted_meanwhile(
    ada: User, bob: User, way: str
) -> None:
    client = logged_in(ada)
    answer = meanwhile(lambda: act_on_account(client, way, bob), lambda: bob.delete(), bob)
    assert answer.status_code in {302, 404}
    assert list(User.objects.all()) == [ada]


def test_an_edit_overwrites_nothing_that_changed_meanwhile(ada: User) -> None:
    client = logged_in(ada)
    alice = User.objects.create_user("alice")

    def promote() -> None:
        User.objects.filter(pk=alice.pk).update(is_superuser=True)

    form = {"username": "alicia", "is_active": "on"}
    meanwhile(lambda: client.post(f"/users/{alice.pk}/edit/", form), promote, alice)
    alice.refresh_from_db()
    assert (alice.username, alice.is_superuser) == ("alicia", True)


def test_logs_of_those_who_are_held_are_written_meanwhile(
    in_threads: Callable[..., list[BaseException | None]], ada: User, bob: User
) -> None:
    def write() -> None:
        execute("SET lock_timeout = '2s'")
        for user in (ada, bob):
            UserLog.objects.write(user_id=user.pk)

    with transaction.atomic():
        rights.hold(ada, [bob.pk])
        assert in_threads(write) == [None]
    assert UserLog.objects.count() == 2


@pytest.mark.parametrize("loss", LOSSES)
def test_holding_takes_an_actor_who_is_as_before(ada: User, bob: User, loss: str) -> None:
    with transaction.atomic():
        assert set(rights.hold(ada, [bob.pk]).values()) == {ada, bob}
    User.objects.filter(pk=ada.pk).update(**LOSSES[loss])
    with pytest.raises(PermissionDenied), transaction.atomic():
        rights.hold(ada, [bob.pk])
