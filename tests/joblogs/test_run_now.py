"""run_now() does a task at once, in the caller's process and transaction."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from procrastinate.contrib.django import app

from accounts.models import User
from joblogs.engine.immediate import run_now
from joblogs.engine.outcome import LONGEST_ARGUMENTS
from joblogs.models import Job, UserLog
from joblogs.tasks import create_user_log

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db


@pytest.fixture
def add() -> Iterator[Any]:
    yield app.task(name="tests.add")(lambda a, b: a + b)
    del app.tasks["tests.add"]


def test_it_writes_the_log_at_once_and_defers_nothing() -> None:
    user = User.objects.create_user("alice")
    jobs = Job.objects.count()
    assert run_now(create_user_log, user_id=user.pk) is None
    log = UserLog.objects.get()
    assert (log.user, log.job_id) == (user, None)
    assert Job.objects.count() == jobs


def test_it_is_part_of_the_callers_transaction() -> None:
    user = User.objects.create_user("alice")
    with pytest.raises(ValueError, match="regret"), transaction.atomic():
        run_now(create_user_log, user_id=user.pk)
        raise ValueError("regret")
    assert not UserLog.objects.exists()


def test_a_user_who_is_gone_is_no_error() -> None:
    assert run_now(create_user_log, user_id=999_999) == (
        "user 999999 was deleted, there is nothing to log"
    )


def test_it_returns_the_result_and_leaves_a_line(
    add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "joblogs.jobs")
    assert run_now(add, a=1, b=2) == 3
    [record] = [record for record in caplog.records if record.name == "joblogs.jobs"]
    message = record.getMessage()
    assert message.startswith("tests.add job=- succeeded waited=- ran=0.0")
    assert message.endswith('args={"a": 1, "b": 2} detail=3')


def test_an_error_reaches_the_caller_and_the_log(
    add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TypeError):
        run_now(add, a=1, b="2")
    [record] = [record for record in caplog.records if record.name == "joblogs.jobs"]
    assert record.levelno == logging.ERROR
    assert "tests.add job=- failed" in record.getMessage()


def test_long_arguments_are_cut_in_the_line(add: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "joblogs.jobs")
    run_now(add, a="x" * 100_000, b="y")
    [record] = [record for record in caplog.records if record.name == "joblogs.jobs"]
    assert len(record.getMessage()) < LONGEST_ARGUMENTS + 500


def test_an_asynchronous_task_runs_to_its_end() -> None:
    async def greet(name: str) -> str:
        return f"hello {name}"

    task = app.task(name="tests.greet")(greet)
    try:
        assert run_now(task, name="alice") == "hello alice"
    finally:
        del app.tasks["tests.greet"]
