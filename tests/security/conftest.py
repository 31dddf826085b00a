"""The people who try the doors, and something behind each door."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import User
from joblogs.models import Job, UserLog
from tests.security.addresses import all_addresses
from tests.security.targets import find_targets
from tests.security.visitors import Visitor
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model

    from tests.security.addresses import Address
    from tests.security.targets import Target


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> None:
    """Keep the log of thousands of refusals out of the report of a test that fails."""
    for name in ("django", "procrastinate", "project"):
        caplog.set_level(logging.CRITICAL, name)


@pytest.fixture
def examples(db: None) -> dict[type[Model], Model]:
    """One object of each kind that an address can be about."""
    alice = User.objects.create_user("alice", "alice@example.org")
    UserLog.objects.write(user_id=alice.pk)
    Group.objects.create(name="readers")
    AccessAttempt.objects.create(username="alice", ip_address="192.0.2.1", failures_since_start=5)
    execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    execute(
        "INSERT INTO procrastinate_periodic_defers (task_name, defer_timestamp, periodic_id)"
        " VALUES ('tests.every_minute', 0, '')"
    )
    models = {address.model for address in all_addresses() if address.model}
    found = {model: model._default_manager.order_by("-pk").first() for model in models}
    missing = [model for model, instance in found.items() if instance is None]
    assert not missing, f"Make an example in tests/security/conftest.py of {missing}"
    return {model: instance for model, instance in found.items() if instance} | {User: alice}


@pytest.fixture
def jobs_in_every_state(db: None) -> list[Job]:
    """Jobs for each of which one of the verbs makes sense."""
    users = [User.objects.create_user(state) for state in ("todo", "doing", "failed", "scheduled")]
    statement = "UPDATE procrastinate_jobs SET status = %s, scheduled_at = %s WHERE args = %s"
    tomorrow = timezone.now() + timedelta(days=1)
    for user in users:
        status, moment = (
            ("todo", tomorrow) if user.username == "scheduled" else (user.username, None)
        )
        execute(statement, status, moment, json.dumps({"user_id": user.pk}))
    return list(Job.objects.all())


@pytest.fixture
def url_of(examples: dict[type[Model], Model]) -> Callable[[Address], str]:
    """Return an address with an object in it that exists."""

    def fill(address: Address) -> str:
        return address.url_of(examples[address.model].pk if address.model else None)

    return fill


@pytest.fixture
def bare(staff: Callable[..., User]) -> User:
    """A staff member who may do nothing."""
    return staff(username="bare")


@pytest.fixture
def targets(
    administrator: User,
    url_of: Callable[[Address], str],
    examples: dict[type[Model], Model],
) -> list[Target]:
    """All that takes input from an administrator, and the login page."""
    return find_targets([Visitor(), Visitor(administrator)], url_of, examples)
