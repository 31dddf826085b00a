"""Workers are woken for what has become due, and for nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection

from joblogs.engine.waking import waker
from joblogs.models import Job
from joblogs.verbs import VERBS
from tests.sql import execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

LISTENED = (
    "procrastinate_any_queue_v1",
    "procrastinate_queue_v1#default",
    "procrastinate_queue_v1#low",
)


@pytest.fixture
def told(transactional_db: None) -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Listen as workers do; told() returns the channels and messages of all notices until now."""
    parameters = connection.get_connection_params()
    wanted = ("host", "port", "user", "password", "dbname")
    options = {name: parameters[name] for name in wanted if name in parameters}
    with psycopg.connect(**options, autocommit=True) as listener:
        for channel in LISTENED:
            listener.execute(f'LISTEN "{channel}"')

        def until_now() -> list[tuple[str, str]]:
            waker("default").flush()
            listener.execute("SELECT pg_notify('procrastinate_any_queue_v1', 'the end')")
            notices: list[tuple[str, str]] = []
            for notice in listener.notifies(timeout=20):
                if notice.payload == "the end":
                    return notices
                notices.append((notice.channel, notice.payload))
            raise AssertionError("The end was never told.")

        yield until_now


@pytest.fixture
def ready(make_job: Callable[..., Job]) -> Callable[..., Job]:
    """Make a job that this verb makes due."""

    def make(verb: str, **options: Any) -> Job:
        if verb == "retry":
            return make_job("failed", **options)
        return make_job(schedule_in={"days": 1}, **options)

    return make


@pytest.mark.parametrize("verb", ["retry", "run_now"])
def test_workers_are_told_once_a_queue_what_has_become_due(
    ready: Callable[..., Job], told: Callable[[], list[tuple[str, str]]], verb: str
) -> None:
    for queue in ("default", "default", "low"):
        ready(verb, queue=queue)
    told()
    Job.objects.all().perform(VERBS[verb])
    notices = told()
    assert sorted(channel for channel, _ in notices) == sorted(LISTENED)
    assert {json.loads(payload)["type"] for _, payload in notices} == {"job_inserted"}


def test_cancelling_tells_nobody(
    make_job: Callable[..., Job], told: Callable[[], list[tuple[str, str]]]
) -> None:
    make_job()
    told()
    assert len(Job.objects.all().cancel().jobs) == 1
    assert told() == []


def test_a_worker_that_polls_seldom_runs_a_retried_job_at_once(
    make_job: Callable[..., Job], start_worker: Callable[..., Any], administrator: Any
) -> None:
    Job.objects.all().cancel()
    job = make_job("failed", args={"user_id": administrator.pk})
    start_worker("--fetch-job-polling-interval", "600")
    wait_for(_somebody_listens)
    Job.objects.filter(pk=job.pk).retry()
    wait_for(lambda: Job.objects.get(pk=job.pk).status == "succeeded")


def _somebody_listens() -> bool:
    [(listening,)] = execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle' AND query ILIKE %s",
        "%pg_try_advisory_lock(joblogs_worker_lock%",  # once it listens
    )
    return bool(listening)


def test_a_running_job_ends_as_aborted_when_its_worker_is_asked(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    in_threads: Callable[..., list[BaseException | None]],
) -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    pk = task(wait_for_ever).defer()

    def abort() -> None:
        wait_for(lambda: Job.objects.filter(pk=pk, status="doing").exists())
        assert [job.pk for job in Job.objects.filter(pk=pk).abort().jobs] == [pk]

    assert in_threads(lambda: run_jobs(abort_job_polling_interval=0.1), abort) == [None, None]
    job = Job.objects.get(pk=pk)
    assert (job.status, job.abort_requested) == ("aborted", False)
