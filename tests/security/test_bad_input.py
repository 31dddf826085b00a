"""Whatever is put into forms and addresses, the site understands it, or says that it does not."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from tests.security import bad_values
from tests.security.addresses import all_addresses
from tests.security.database import store_in_every_text
from tests.security.targets import encoded
from tests.security.verdicts import assert_none, faults
from tests.security.visitors import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models import Model

    from accounts.models import User
    from tests.security.addresses import Address
    from tests.security.targets import Target
    from tests.security.visitors import Answer

pytestmark = pytest.mark.django_db

#: Into how many tests a long sweep is cut, so that several processes can share it.
PARTS = 4


def complaints(answers: Iterable[Answer]) -> Iterator[str]:
    for answer in answers:
        for fault in faults(answer):
            yield f"{fault}: {answer}"


def test_every_form_can_be_sent_as_it_is_shown(targets: list[Target]) -> None:
    # Else the sweeps below would never get further than the first field that is missing.
    sent = [target.send({}) for target in targets if target.method == "POST"]
    assert_none(complaints(sent))
    assert {answer.status for answer in sent} <= {200, 302, 403}
    saved = {table for answer in sent for table in answer.changed}
    assert saved >= {"users", "user_logs", "procrastinate_jobs", "auth_group", "django_admin_log"}


@pytest.mark.parametrize("part", range(PARTS))
def test_bad_values_in_all_fields_are_understood_or_refused(
    targets: list[Target], part: int, longer: bool
) -> None:
    # The next value in the next field: each field is sent a third of the values in the long form,
    # a twelfth in the gate.
    step = 3 if longer else 12
    assert_none(
        complaints(
            target.send(dict(zip(target.fields, cycle(bad_values.FIXED[start:]), strict=False)))
            for number, target in list(enumerate(targets))[part::PARTS]
            for start in range(number % step, len(bad_values.FIXED), step)
        )
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_a_bad_value_in_one_field_is_understood_or_refused(
    targets: list[Target], part: int
) -> None:
    assert_none(
        complaints(
            target.send({field: value})
            for target in targets[part::PARTS]
            for field in target.fields
            for value in bad_values.WORST
        )
    )


def test_no_filter_breaks_a_list_of_the_admin(
    administrator: User,
) -> None:
    visitor = Visitor(administrator)
    lists = {
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"): model
        for model in admin.site._registry
    }
    assert_none(
        complaints(
            visitor.get(f"{url}?{encoded({field.attname + lookup: value})}")
            for url, model in lists.items()
            for field in model._meta.concrete_fields
            for lookup, value in bad_values.LOOKUPS.items()
        )
    )


def test_any_values_are_understood_or_refused(targets: list[Target]) -> None:
    # The fixtures are set up once for all examples, each of which undoes what it has changed.
    with_fields = [target for target in targets if target.fields]

    @given(st.data())
    def sweep(data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(with_fields))
        fields = data.draw(st.sets(st.sampled_from(sorted(target.fields)), min_size=1))
        answer = target.send({field: data.draw(bad_values.values) for field in sorted(fields)})
        assert not list(faults(answer)), answer

    sweep()


def test_logging_in_leads_to_no_other_site(administrator: User) -> None:
    form = {"username": administrator.username, "password": "password"}
    answers = [
        Visitor().post("/login/", encoded(form | {"next": place}).encode())
        for place in bad_values.PLACES
    ]
    assert {answer.status for answer in answers} == {302}
    assert_none(complaints(answers))


def test_what_is_stored_is_shown_as_text(
    administrator: User,
    looker: User,
    examples: dict[type[Model], Model],
    url_of: Callable[[Address], str],
) -> None:
    store_in_every_text(examples.values(), bad_values.MARKUP[0])
    LogEntry.objects.create(
        user=administrator, object_repr=bad_values.MARKUP[0], action_flag=1, change_message="x"
    )
    seen = 0
    for visitor in (Visitor(administrator), Visitor(looker)):
        for address in all_addresses():
            answer = visitor.get(url_of(address))
            assert_none(complaints([answer]))
            seen += bad_values.MARK in answer.body
    assert seen > 20
