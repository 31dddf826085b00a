"""Only who owns an attempt ends it, and it is ended once, even when answers are lost."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from joblogs.engine.batch import transactional
from joblogs.models import Job, JobLog, JobQueue
from tests.jobs import outcomes
from tests.sql import elsewhere, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procrastinate import JobContext

    from joblogs.engine.batch import BatchJob
    from tests.proxies import CuttingProxy

pytestmark = pytest.mark.django_db(transaction=True)

TAKE = {
    "rescued": "UPDATE procrastinate_jobs SET status = 'todo', attempts = attempts + 1,"
    " worker_id = NULL, scheduled_at = now() + interval '1 hour' WHERE id = %s",
    "with another worker": "WITH other AS (INSERT INTO procrastinate_workers DEFAULT VALUES"
    " RETURNING id) UPDATE procrastinate_jobs SET worker_id = other.id FROM other"
    " WHERE procrastinate_jobs.id = %s",
    "on its next attempt here": "UPDATE procrastinate_jobs SET attempts = attempts + 1"
    " WHERE id = %s",
    "deleted": "DELETE FROM procrastinate_jobs WHERE id = %s",
}

taken_away = pytest.mark.parametrize("how", TAKE)


def rows_of(job_id: int) -> list[dict[str, Any]]:
    return list(Job.objects.filter(pk=job_id).values())


def is_said_to_be_lost(warnings: Callable[[], list[str]], *job_ids: int) -> None:
    said = [warning for warning in warnings() if "is not this worker's any more" in warning]
    assert [int(warning.split()[1]) for warning in said] == list(job_ids)


@taken_away
@pytest.mark.parametrize("kind", ["succeeding", "failing", "retrying", "deleting", "transactional"])
def test_the_end_of_a_job_that_was_taken_away_changes_nothing(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    warnings: Callable[[], list[str]],
    lines: Callable[..., list[str]],
    how: str,
    kind: str,
) -> None:
    ran: list[int] = []

    def work(context: JobContext) -> None:
        assert context.job.id
        Group.objects.create(name="a group")
        elsewhere(TAKE[how], context.job.id)
        ran.append(context.job.id)
        if kind in {"failing", "retrying"}:
            raise ValueError

    function = transactional(work) if kind == "transactional" else work
    pk = task(function, pass_context=True, retry=kind == "retrying").defer()
    run_jobs(delete_jobs="always" if kind == "deleting" else "never")
    assert ran == [pk]
    assert JobLog.objects.count() == 0
    if how == "deleted":
        assert rows_of(pk) == []
    else:
        [row] = rows_of(pk)
        assert row["status"] == ("todo" if how == "rescued" else "doing")
        assert row["attempts"] == (how != "with another worker")
        assert (row["worker_id"] is not None) == (how == "with another worker")
    is_said_to_be_lost(warnings, pk)
    assert lines("tests.work") == []
    assert Group.objects.exists() == (kind != "transactional")


@taken_away
def test_a_batch_goes_on_without_the_job_that_was_taken_away(
    batch: Callable[..., Any],
    run_jobs: Callable[..., None],
    warnings: Callable[[], list[str]],
    how: str,
) -> None:
    calls: list[list[Any]] = []

    def note(jobs: Sequence[BatchJob]) -> None:
        numbers = [job.arguments["n"] for job in jobs]
        Group.objects.bulk_create([Group(name=str(n)) for n in numbers])
        if not calls:
            elsewhere(TAKE[how], jobs[1].id)
        calls.append(numbers)

    task = batch(note)
    job_ids = [task.defer(n=n) for n in range(3)]
    run_jobs()
    assert calls == [[0, 1, 2], [0, 2]]
    assert set(Group.objects.values_list("name", flat=True)) == {"0", "2"}
    expected = [[(1, "succeeded")], [], [(1, "succeeded")]]
    assert [outcomes(pk) for pk in job_ids] == expected
    is_said_to_be_lost(warnings, job_ids[1])


def test_a_batch_whose_jobs_are_taken_away_ends_with_the_rest(
    batch: Callable[..., Any], run_jobs: Callable[..., None], warnings: Callable[[], list[str]]
) -> None:
    def note(jobs: Sequence[BatchJob]) -> None:
        Group.objects.bulk_create([Group(name=str(job.arguments["n"])) for job in jobs])
        first: Any = jobs[0].arguments["n"]
        if first < 4:
            elsewhere(TAKE["rescued"], jobs[0].id)

    task = batch(note)
    job_ids = [task.defer(n=n) for n in range(6)]
    run_jobs()
    assert set(Group.objects.values_list("name", flat=True)) == {"4", "5"}
    assert [outcomes(pk) for pk in job_ids] == [[]] * 4 + [[(1, "succeeded")]] * 2
    is_said_to_be_lost(warnings, *job_ids[:4])


@pytest.mark.parametrize("status", ["succeeded", "failed", "aborted", "todo"])
@pytest.mark.parametrize("delete", [False, True])
def test_an_end_that_is_written_twice_is_written_once(
    task: Callable[..., Any], status: str, delete: bool
) -> None:
    def idle() -> None: ...

    pk = task(idle).defer()

    async def finish_twice() -> list[dict[int, str]]:
        async with app.open_async():
            manager: Any = app.job_manager
            worker_id = await manager.register_worker()
            [[job]] = await manager.fetch_jobs(None, worker_id, starts=1, batch_sizes={})
            now = time.time()
            row = {
                "attempts": job.attempts,
                "status": status,
                "delete": delete,
                "task": job.task_name,
                "queue": job.queue,
                "outcome": "failed",
                "started_at": now - 1,
                "finished_at": now,
                "retry_at": now + 60,
            }
            finish = partial(manager.finish_attempts, worker_id, "here:1")
            return [await finish({pk: row}), await finish({pk: row})]

    verdicts: list[dict[int, str]] = []
    with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]  # ours
        thread = threading.Thread(target=lambda: verdicts.extend(asyncio.run(finish_twice())))
        thread.start()
        thread.join()
    assert verdicts == [{}, {pk: "repeated"}]
    assert outcomes(pk) == [(1, "failed")]
    if delete and status != "todo":
        assert rows_of(pk) == []
    else:
        [row] = rows_of(pk)
        assert (row["status"], row["attempts"], row["worker_id"]) == (status, 1, None)


@pytest.mark.parametrize("end", ["succeeded", "failed", "todo", "aborted"])
def test_a_job_that_has_ended_belongs_to_no_worker(
    task: Callable[..., Any], run_worker: Callable[..., None], end: str
) -> None:
    ended: list[dict[str, Any]] = []

    def work() -> None:
        if end == "aborted":
            raise asyncio.CancelledError
        if end != "succeeded":
            raise ValueError

    def look() -> bool:
        # While the worker is there: jobs of one that left belong to nobody anyway.
        if outcomes(pk):
            ended.extend(rows_of(pk))
        return bool(ended)

    pk = task(work, retry=RetryStrategy(wait=3_600) if end == "todo" else False).defer()
    run_worker(until=look)
    [row] = ended
    assert (row["status"], row["worker_id"], row["attempts"]) == (end, None, 1)


@pytest.mark.parametrize("deliver", [True, False], ids=["committed", "not committed"])
def test_a_commit_without_an_answer_is_looked_up_first(
    batch: Callable[..., Any], run_jobs: Callable[..., None], proxy: CuttingProxy, deliver: bool
) -> None:
    calls: list[list[Any]] = []

    def note(jobs: Sequence[BatchJob]) -> None:
        calls.append([job.arguments["n"] for job in jobs])
        # Nothing unique: a second time would be seen.
        JobQueue.objects.bulk_create([JobQueue(name=f"{len(calls)} {n}") for n in calls[-1]])

    task = batch(note)
    job_ids = [task.defer(n=n) for n in range(3)]
    proxy.cut(b"COMMIT", deliver=deliver)
    run_jobs()
    assert proxy.cuts == 0
    assert calls == [[0, 1, 2]] * (1 if deliver else 2)
    assert JobQueue.objects.count() == 3
    assert [outcomes(pk) for pk in job_ids] == [[(1, "succeeded")]] * 3
    assert [rows_of(pk)[0]["attempts"] for pk in job_ids] == [1] * 3


@pytest.mark.parametrize("deliver", [True, False], ids=["committed", "not committed"])
def test_a_job_whose_end_is_sent_and_not_answered_ends_once(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    lines: Callable[..., list[str]],
    proxy: CuttingProxy,
    deliver: bool,
) -> None:
    ran: list[int] = []

    def work() -> None:
        ran.append(1)

    pk = task(work).defer()
    proxy.cut(b"joblogs_finish_jobs_v1", deliver=deliver)
    run_jobs()
    assert proxy.cuts == 0
    assert ran == [1]
    assert outcomes(pk) == [(1, "succeeded")]
    assert rows_of(pk)[0]["attempts"] == 1
    assert len(lines("tests.work")) == 1


def test_a_job_whose_connection_keeps_breaking_fails_by_its_rule(
    task: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    ran: list[int] = []

    @transactional
    def work() -> None:
        ran.append(1)
        Group.objects.create(name="a group")
        execute("SELECT pg_terminate_backend(pg_backend_pid())")

    pk = task(work, retry=RetryStrategy(max_attempts=5, wait=3_600)).defer()
    run_jobs()
    assert not Group.objects.exists()
    assert outcomes(pk) == [(1, "failed")]
    [row] = rows_of(pk)
    assert (row["status"], row["attempts"]) == ("todo", 1)
    assert len(ran) == 3
