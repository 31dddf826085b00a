"""Tasks, jobs in every state, and the lines they leave."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from procrastinate.contrib.django import app

from joblogs.models import Job
from joblogs.tasks import create_user_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def task() -> Iterator[Callable[..., Any]]:
    """Register a task for the time of a test: task(function, **options)."""
    names: list[str] = []

    def register(function: Callable[..., Any], **options: Any) -> Any:
        name = f"tests.{function.__name__}"
        names.append(name)
        return app.task(name=name, **options)(function)  # type: ignore[no-untyped-call]  # any

    yield register
    for name in names:
        del app.tasks[name]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[..., list[logging.LogRecord]]:
    """Return the lines that jobs of this task have left."""
    caplog.set_level(logging.INFO)

    def of(name: str) -> list[logging.LogRecord]:
        return [
            record
            for record in caplog.records
            if record.name == "joblogs.jobs" and record.getMessage().startswith(f"{name} ")
        ]

    return of


@pytest.fixture
def make_job(db: None) -> Callable[..., Job]:
    """Put a job into the table: make_job("failed", lock="x", args={...}, ...)."""

    def make(status: str = "todo", args: dict[str, Any] | None = None, **options: Any) -> Job:
        abort_requested = options.pop("abort_requested", False)
        attempts = options.pop("attempts", 0)
        pk = create_user_log.configure(**options, task_kwargs=args or {"user_id": 1}).defer()
        if status != "todo":
            with connection.cursor() as cursor:
                # The triggers note what they note when a worker does it.
                cursor.execute(
                    "UPDATE procrastinate_jobs"
                    "   SET status = %s, abort_requested = %s, attempts = %s WHERE id = %s",
                    [status, abort_requested, attempts, pk],
                )
        job: Job = Job.objects.get(pk=pk)
        return job

    return make
