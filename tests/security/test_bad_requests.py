"""Whatever a request is made of, it is answered like any other, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.addresses import all_addresses
from tests.security.bad_requests import BODIES, HEADERS
from tests.security.bad_values import IN_PATHS
from tests.security.verdicts import assert_none, faults
from tests.security.visitors import FORM, Visitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import User
    from tests.security.addresses import Address
    from tests.security.targets import Target

pytestmark = pytest.mark.django_db

# What is not found by the resolver: files, and nothing at all.
ELSEWHERE = ("/{}", "/static/{}", "/admin/{}", "/admin/{}/", "/users/{}", "/login/?next={}")


def test_an_address_may_say_anything(administrator: User) -> None:
    places = [*ELSEWHERE, *(address.url("{}") for address in all_addresses() if address.model)]
    visitor = Visitor(administrator)
    assert_none(
        f"{fault}: {answer}"
        for place in places
        for text in IN_PATHS
        for answer in [visitor.get(place.replace("{}", text))]
        for fault in faults(answer)
    )


def test_a_form_may_send_anything(targets: list[Target]) -> None:
    forms = {(target.visitor, target.url) for target in targets if target.method == "POST"}
    assert_none(
        f"{fault} with {name}: {answer}"
        for name, (content_type, content) in BODIES.items()
        for visitor, url in forms
        for answer in [visitor.ask("POST", url, content, {"content-type": content_type})]
        for fault in faults(answer)
    )


def test_headers_may_say_anything(administrator: User, url_of: Callable[[Address], str]) -> None:
    urls = {address.key: url_of(address) for address in all_addresses()}
    pages = ("user-create", "user-logs", "admin:accounts_user_changelist")
    somebody = Visitor(administrator)
    assert_none(
        f"{fault} with {name}: {value!r:.60}: {answer}"
        for page in pages
        for name, value in HEADERS
        for answer in (
            somebody.ask("GET", urls[page] + "?q=%41%ff", headers={name: value}),
            somebody.ask(
                "POST", urls[page], b"username=%41%ff", {"content-type": FORM, name: value}
            ),
        )
        for fault in faults(answer)
    )
