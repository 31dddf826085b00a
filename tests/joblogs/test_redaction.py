"""Secrets among jobs' arguments are shown and logged nowhere."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.contrib.django import app

from joblogs.engine.immediate import run_now
from joblogs.models import Job, JobLog
from joblogs.redaction import MASK, call_string, is_secret, mask_secrets, redact
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    [
        *("password", "new_password2", "apiKey", "X-Api-Key", "api.key", "private key"),
        *("ACCESS_TOKEN", "sessionid"),
    ],
)
def test_a_name_is_secret_whatever_its_spelling(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["user_id", "timestamp", "path", "keyboard", ""])
def test_other_names_are_not(name: str) -> None:
    assert not is_secret(name)


def test_which_names_are_secret_is_a_setting(settings: Any) -> None:
    settings.JOBLOGS_REDACTED_ARGUMENTS = ["iban"]
    assert redact({"customer-IBAN": "DE00", "password": SECRET}) == {
        "customer-IBAN": MASK,
        "password": SECRET,
    }


def test_values_are_masked_at_any_depth_and_the_rest_is_left() -> None:
    arguments = {
        "user_id": 1,
        "login": [{"token": [SECRET], "name": "x"}, None],
        "secrets": {"a": SECRET},
    }
    assert redact(arguments) == {
        "user_id": 1,
        "login": [{"token": MASK, "name": "x"}, None],
        "secrets": MASK,
    }
    assert arguments["secrets"] == {"a": SECRET}


def test_what_is_in_a_tuple_is_masked_too() -> None:
    assert redact(({"token": SECRET}, [({"token": SECRET}, 1)])) == (
        {"token": MASK},
        [({"token": MASK}, 1)],
    )


def nested(levels: int) -> Any:
    value: Any = {"password": SECRET, "note": "deep down"}
    for level in range(levels):
        value = [value] if level % 2 else {"inner": value}
    return value


def test_what_is_deeper_than_anybody_reads_is_masked_as_a_whole() -> None:
    assert "deep down" in str(redact(nested(40)))
    for levels in (60, 900):
        masked = str(redact(nested(levels)))
        assert MASK in masked
        assert "deep down" not in masked
        assert SECRET not in masked


def test_a_secret_as_deep_as_anybody_reads_is_masked_in_texts() -> None:
    assert mask_secrets(f"no entry for {SECRET}", nested(40)) == f"no entry for {MASK}"


def test_a_call_is_told_without_secrets() -> None:
    told = call_string("tasks.log_in", 7, redact({"user_id": 1, "password": SECRET}))
    assert told == f"tasks.log_in[7](user_id=1, password='{MASK}')"


@pytest.fixture
def log_in(task: Callable[..., Any]) -> Any:
    def log_in(*, user_id: int, password: str) -> dict[str, str]:
        return {"token": password, "user": str(user_id)}

    return task(log_in)


@pytest.mark.django_db(transaction=True)
def test_no_log_line_of_a_job_holds_a_secret(
    log_in: Any, run_jobs: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log_in.defer(user_id=1, password=SECRET)
    run_jobs()
    run_now(log_in, user_id=3, password=SECRET)
    lines = [record for record in caplog.records if not record.name.startswith("django.db")]
    assert "tests.log_in" in caplog.text
    for record in lines:
        assert SECRET not in record.getMessage()
        assert SECRET not in json.dumps(record.__dict__.get("job", {}), default=str)
        assert SECRET not in json.dumps(record.__dict__.get("jobs", []), default=str)
    messages = [record.getMessage() for record in lines if record.name == "joblogs.jobs"]
    outcomes = [message for message in messages if message.startswith("tests.log_in ")]
    assert len(outcomes) == 2
    for line in outcomes:
        assert f'"password": "{MASK}"' in line
        assert f"'token': '{MASK}'" in line


@pytest.mark.django_db(transaction=True)
def test_neither_lines_nor_logs_hold_a_secret_result(
    task: Callable[..., Any], run_jobs: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def log_in_twice(*, user_id: int, password: str) -> tuple[Any, ...]:
        return {"token": password}, [user_id, {"token": password}]

    caplog.set_level(logging.DEBUG)
    task(log_in_twice).defer(user_id=7, password=SECRET)
    run_jobs()
    records = [record for record in caplog.records if not record.name.startswith("django.db")]
    assert JobLog.objects.get().result == [{"token": MASK}, [7, {"token": MASK}]]
    for record in records:
        assert SECRET not in str(record.__dict__)


@pytest.mark.django_db(transaction=True)
def test_a_job_with_deeply_nested_values_ends_as_others_do(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    records: Callable[..., list[logging.LogRecord]],
) -> None:
    def dig(*, inner: Any) -> Any:
        return nested(900)

    # Procrastinate itself copies the arguments, and fails at twice as many levels.
    pk = task(dig).defer(inner=nested(400))
    run_jobs()
    assert Job.objects.get(pk=pk).status == "succeeded"
    [line] = records("tests.dig")
    assert f"job={pk} succeeded" in line.getMessage()
    assert SECRET not in str(line.__dict__)


@pytest.mark.django_db
def test_pages_show_jobs_whose_arguments_are_nested_deeply(
    as_administrator: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job("failed")
    execute(
        "UPDATE procrastinate_jobs SET args = %s WHERE id = %s",
        json.dumps({"note": "on top", "inner": nested(700)}),
        job.pk,
    )
    for url in ("/admin/joblogs/job/", f"/admin/joblogs/job/{job.pk}/change/"):
        page = as_administrator.get(url).content.decode()
        assert "on top" in page
        assert "deep down" not in page
        assert SECRET not in page


@pytest.mark.django_db
def test_the_periodic_deferrer_keeps_secrets_too(caplog: pytest.LogCaptureFixture) -> None:
    task = app.tasks["joblogs.tasks.create_user_log"]
    job = task.configure(task_kwargs={"password": SECRET}).job
    logging.getLogger("procrastinate.periodic").warning(
        f"Periodic job {job.call_string} skipped",  # as Procrastinate writes it
        extra={"job": job.log_context(), "kwargs": {"task_kwargs": {"password": SECRET}}},
    )
    record = caplog.records[-1]
    assert record.getMessage() == (
        f"Periodic job joblogs.tasks.create_user_log[None](password='{MASK}') skipped"
    )
    assert SECRET not in str(record.__dict__)


@pytest.mark.django_db
def test_no_page_of_a_job_shows_a_secret(as_administrator: Client, log_in: Any) -> None:
    pk = log_in.defer(user_id=1, password=SECRET)
    assert SECRET not in str(Job.objects.get(pk=pk))
    for url in (
        "/admin/joblogs/job/",
        f"/admin/joblogs/job/{pk}/change/",
        f"/admin/joblogs/job/act/cancel/?ids={pk}",
    ):
        page = as_administrator.get(url).content.decode()
        assert SECRET not in page
        assert "log_in" in page
    as_administrator.post("/admin/joblogs/job/act/cancel/", {"ids": pk})
    assert SECRET not in as_administrator.get(f"/admin/joblogs/job/{pk}/history/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query", [f"q=password%3D{SECRET}", "args__password__startswith=h", "args__contains=h"]
)
def test_no_search_tells_whether_a_secret_was_guessed(
    as_administrator: Client, log_in: Any, query: str
) -> None:
    pk = log_in.defer(user_id=1, password=SECRET)
    response = as_administrator.get(f"/admin/joblogs/job/?{query}")
    assert f"/job/{pk}/change/" not in response.content.decode()
