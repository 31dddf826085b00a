"""Everybody tries every address of the site, also those that are yet to come."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission

from tests.security.addresses import all_addresses
from tests.security.doors import Door, complaints
from tests.security.entrances import ENTRANCES
from tests.security.verdicts import assert_none
from tests.security.visitors import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import RequestFactory

    from accounts.models import User
    from joblogs.models import Job
    from tests.security.addresses import Address
    from tests.security.entrances import Need

    Nearly = Callable[[Need], list[Visitor]]

MISSING = 999_999_999

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST")
MATTERS = {name for entrance in ENTRANCES.values() for name in entrance.permissions}


def every_permission() -> set[str]:
    names = Permission.objects.values_list("content_type__app_label", "codename")
    return {f"{app_label}.{codename}" for app_label, codename in names}


@pytest.fixture
def doors(url_of: Callable[[Address], str]) -> list[Door]:
    """Every address of the site that is in the table."""
    return [
        Door(address, ENTRANCES[address.key], url_of(address))
        for address in all_addresses()
        if address.key in ENTRANCES
    ]


@pytest.fixture
def uninvited(bare: User, outsider: User) -> list[Visitor]:
    return [Visitor(), Visitor(outsider), Visitor(bare)]


@pytest.fixture
def nearly(staff: Callable[..., User]) -> Nearly:
    """Make staff members who each have every permission but one that is needed."""
    every = every_permission()
    known: dict[frozenset[str], Visitor] = {}

    def make(need: Need) -> list[Visitor]:
        # Without one of each set that would be enough.
        sets = [frozenset(missing) for missing in product(*need.permissions)]
        for missing in sets:
            if missing not in known:
                name = f"without {', '.join(sorted(missing)) or 'nothing'}"
                known[missing] = Visitor(staff(*every - missing, username=name[:150]))
        return [known[missing] for missing in sets]

    return make


def test_every_address_is_in_the_table_and_nothing_else() -> None:
    keys = {address.key for address in all_addresses()}
    unknown = sorted(keys - set(ENTRANCES))
    assert not unknown, f"Say in tests/security/entrances.py who may open {unknown}"
    gone = sorted(set(ENTRANCES) - keys)
    assert not gone, f"Remove from tests/security/entrances.py what no address has: {gone}"


def test_every_action_of_the_admin_is_in_the_table(administrator: User, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = administrator
    for model, model_admin in admin.site._registry.items():
        key = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        wrong = sorted(set(model_admin.get_actions(request)) ^ set(ENTRANCES[key].actions))
        assert not wrong, f"Say in tests/security/entrances.py who may use {wrong} of {key}"


@pytest.mark.parametrize("who", ["outsider", "bare", "looker", "administrator"])
def test_people_get_in_where_they_may_and_nowhere_else(
    request: pytest.FixtureRequest, doors: list[Door], who: str
) -> None:
    assert_none(complaints(doors, [Visitor(request.getfixturevalue(who))]))


def test_a_stranger_is_led_to_the_login_page(doors: list[Door]) -> None:
    assert_none(complaints(doors, [Visitor()]))


@pytest.mark.parametrize("permission", sorted(MATTERS))
def test_a_permission_opens_what_it_is_for(
    doors: list[Door], staff: Callable[..., User], permission: str
) -> None:
    assert_none(complaints(doors, [Visitor(staff(permission))]))


def test_no_other_permission_opens_anything(doors: list[Door], staff: Callable[..., User]) -> None:
    assert_none(complaints(doors, [Visitor(staff(*every_permission() - MATTERS))]))


def test_permissions_that_are_enough_together_are_enough(
    doors: list[Door], staff: Callable[..., User]
) -> None:
    behind: dict[frozenset[str], list[Door]] = {}
    for door in doors:
        needs = {enough for method in METHODS for enough in door.entrance.need(method).permissions}
        for enough in needs:
            if len(enough) > 1:
                behind.setdefault(enough, []).append(door)
    assert behind
    for enough, opened in behind.items():
        person = staff(*enough, username=" and ".join(sorted(enough)))
        assert_none(complaints(opened, [Visitor(person)]))


def test_a_permission_that_is_missing_is_missed(doors: list[Door], nearly: Nearly) -> None:
    assert_none(
        complaint
        for door in doors
        for method in METHODS
        for visitor in nearly(door.entrance.need(method))
        if (complaint := door.complaint(visitor, method))
    )


def test_those_who_are_refused_learn_nothing_about_what_exists(
    doors: list[Door], uninvited: list[Visitor], nearly: Nearly
) -> None:
    different = []
    for door in (door for door in doors if door.address.model):
        missing = door._replace(url=door.address.url_of(MISSING))
        for method in METHODS:
            need = door.entrance.need(method)
            for visitor in [*uninvited, *nearly(need)]:
                if not need.is_met_by(visitor.user):
                    answers = door.try_as(visitor, method), missing.try_as(visitor, method)
                    if door.told(answers[0]) != missing.told(answers[1]):
                        different.append(f"{visitor}: {answers[0]}, but {answers[1]}")
    assert_none(different)


def test_other_methods_let_nobody_in_either(doors: list[Door], uninvited: list[Visitor]) -> None:
    for visitor in uninvited:
        for door in doors:
            if not door.entrance.get.is_met_by(visitor.user):
                for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"):
                    answer = door.try_as(visitor, method)
                    tells_nothing = answer.status == 405 or not answer.body
                    assert tells_nothing or door.turns_away(answer), f"{visitor}: {answer}"
                    assert not answer.changed, f"{visitor}: {answer}"


def test_parts_of_pages_are_shown_to_nobody_else(
    doors: list[Door], uninvited: list[Visitor]
) -> None:
    for visitor in uninvited:
        for door in doors:
            if not door.entrance.get.is_met_by(visitor.user):
                answer = door.try_as(visitor, "GET", **{"HX-Request": "true"})
                # htmx loads the whole page again then, instead of putting a login form into it.
                leaves_the_page = answer.status == 204 and answer.headers["HX-Refresh"] == "true"
                assert leaves_the_page or door.turns_away(answer), f"{visitor}: {answer}"


def test_who_is_refused_is_not_led_round_in_circles(
    doors: list[Door], uninvited: list[Visitor]
) -> None:
    for visitor in uninvited:
        for door in doors:
            places = [door.url]
            while (answer := visitor.get(places[-1])).status == 302:
                assert answer.location not in places, f"{visitor}: {places} and so on"
                places.append(answer.location)
            assert answer.status < 500, f"{visitor}: {answer}"


def test_a_post_without_its_token_is_refused_everywhere(
    doors: list[Door], administrator: User
) -> None:
    for user in (None, administrator):
        visitor = Visitor(user, enforce_csrf_checks=True)
        for door in doors:
            answer = door.try_as(visitor, "POST")
            refused = answer.status == 403 and "<title>Form refused" in answer.body
            assert refused, f"{visitor}: {answer}"
            assert not answer.changed, f"{visitor}: {answer}"


def test_an_action_is_offered_to_and_works_for_who_may(
    doors: list[Door],
    jobs_in_every_state: list[Job],
    administrator: User,
    looker: User,
    nearly: Nearly,
) -> None:
    for door in doors:
        for action, besides in door.entrance.actions.items():
            need = door.entrance.get & besides
            rows = door.address.view.model_admin.model._default_manager  # type: ignore[attr-defined]
            chosen = list(rows.exclude(pk=administrator.pk).values_list("pk", flat=True))
            form = urlencode({"action": action, "_selected_action": chosen, "post": "yes"}, True)
            for visitor in [Visitor(administrator), Visitor(looker), *nearly(need)]:
                allowed = need.is_met_by(visitor.user)
                page = door.try_as(visitor, "GET").body
                answer = visitor.post(door.url, form.encode())
                assert (f'<option value="{action}">' in page) == allowed, f"{visitor}: {action}"
                assert allowed or not answer.changed, f"{visitor}: {answer}"
                assert answer.status < 500, f"{visitor}: {answer}"
