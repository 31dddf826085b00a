"""The engine's manager of jobs, and what it fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procrastinate.contrib.django import app

from joblogs.engine.manager import JobManager

if TYPE_CHECKING:
    from joblogs.engine.fetched import FetchedJob


def manager() -> JobManager:
    assert isinstance(app.job_manager, JobManager)
    return app.job_manager


def job_ids(starts: list[list[FetchedJob]]) -> list[list[int]]:
    return [[job.id for job in jobs] for jobs in starts]
