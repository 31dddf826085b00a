"""Tasks, jobs in every state, and the lines they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from joblogs.models import Job
from joblogs.tasks import create_user_log
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import User

LIST = "/admin/joblogs/job/"


@pytest.fixture
def make_job(db: None) -> Callable[..., Job]:
    """Put a job into the table: make_job("failed", lock="x", args={...}, ...)."""

    def make(status: str = "todo", args: dict[str, Any] | None = None, **options: Any) -> Job:
        abort_requested = options.pop("abort_requested", False)
        attempts = options.pop("attempts", 0)
        pk = create_user_log.configure(**options, task_kwargs=args or {"user_id": 1}).defer()
        if status != "todo":
            # The triggers note what they note when a worker does it.
            execute(
                "UPDATE procrastinate_jobs"
                "   SET status = %s, abort_requested = %s, attempts = %s WHERE id = %s",
                *(status, abort_requested, attempts, pk),
            )
        job: Job = Job.objects.get(pk=pk)
        return job

    return make


@pytest.fixture
def no_other_jobs(administrator: User) -> None:
    """Drop the job that creating the administrator deferred."""
    Job.objects.all().cancel()
    Job.objects.all().delete_ended()


@pytest.fixture
def listed(as_administrator: Client) -> Callable[..., Any]:
    """Return the list that the admin shows for these query parameters."""

    def of(**query: str) -> Any:
        response: Any = as_administrator.get(LIST, query)
        assert response.status_code == 200
        return response.context["cl"]

    return of


@pytest.fixture
def ids(listed: Callable[..., Any]) -> Callable[..., list[int]]:
    """Return the ids of the jobs that the list shows for these query parameters."""

    def of(**query: str) -> list[int]:
        return [job.pk for job in listed(**query).result_list]

    return of


@pytest.fixture
def walk(as_administrator: Client) -> Callable[..., list[list[int]]]:
    """Return the ids on all pages, from the newest on and as long as older jobs are offered."""

    def through(query: str = "") -> list[list[int]]:
        pages: list[list[int]] = []
        url: str | None = f"?{query}"
        while url is not None:
            response: Any = as_administrator.get(LIST + url)
            assert response.status_code == 200
            page = response.context["cl"]
            pages.append([job.pk for job in page.result_list])
            url = page.older_url or page.search_older_url
        return pages

    return through
