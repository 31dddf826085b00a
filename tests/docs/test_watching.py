"""The queries of docs/operations.md that tell what is wrong, where something is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from joblogs.models import Job, JobLog, JobQueue
from joblogs.tasks import create_user_log
from tests.docs.pages import query_under, statement_with
from tests.sql import execute
from tests.workers import add_worker

pytestmark = pytest.mark.django_db

ATTEMPTS = "How attempts ended in the last hour"


def rows_under(title: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query_under(title))
        assert cursor.description
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def job(*, queue: str = "default", status: str = "todo", minutes_ago: int = 0) -> int:
    """Defer a job; bring it into a state, and that so many minutes ago."""
    pk = create_user_log.configure(queue=queue).defer(user_id=1)
    if status != "todo":
        execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", pk)
        execute("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", status, pk)
    execute(
        "UPDATE procrastinate_events SET at = at - make_interval(mins => %s) WHERE job_id = %s",
        *(minutes_ago, pk),
    )
    return pk


def log(job_id: int, outcome: str, *, attempt: int = 1, days_ago: float = 0, ran: int = 0) -> None:
    finished_at = timezone.now() - timedelta(days=days_ago)
    JobLog.objects.create(
        job_id=job_id,
        attempt=attempt,
        task_name="mail.send",
        queue_name="mail",
        worker="a:1",
        started_at=finished_at - timedelta(seconds=ran),
        finished_at=finished_at,
        outcome=outcome,
    )


def test_the_oldest_ready_job_of_each_unpaused_queue_is_found() -> None:
    old = job(minutes_ago=10)
    job(minutes_ago=5)
    job(queue="paused", minutes_ago=20)
    JobQueue.objects.pause("paused")
    [row] = rows_under("The oldest ready job of each queue")
    assert (row["queue_name"], row["job_id"]) == ("default", old)
    assert 600 <= row["seconds"] <= 630


def test_waiting_jobs_are_counted_apart_from_scheduled_ones() -> None:
    job(queue="mail")
    job(queue="mail")
    create_user_log.configure(queue="mail", schedule_in={"hours": 1}).defer(user_id=1)
    job(queue="mail", status="succeeded")
    assert rows_under("How many wait") == [{"queue_name": "mail", "ready": 2, "scheduled": 1}]


def test_workers_are_listed_with_those_longest_silent_first() -> None:
    add_worker(host="a", pid=1)
    add_worker(host="b", pid=2, silent_for=90, state="quiet")
    stock = add_worker(stock=True, silent_for=30)
    rows = rows_under("Workers")
    assert [row["worker"] for row in rows] == ["b:2", f"stock worker {stock}", "a:1"]
    assert [row["state"] for row in rows] == ["quiet", None, "running"]
    # Counted from the start of the transaction.
    assert timedelta(seconds=80) < rows[0]["silent"] < timedelta(seconds=120)


def test_attempts_of_the_last_hour_are_counted_by_how_they_ended() -> None:
    for seconds in (1, 1, 3):
        log(1, "succeeded", ran=seconds)
    log(2, "lost")
    log(3, "failed", days_ago=0.1)
    counts = {row["outcome"]: row["attempts"] for row in rows_under(ATTEMPTS)}
    assert counts == {"succeeded": 3, "lost": 1}
    assert rows_under(ATTEMPTS)[0]["p95"] > timedelta(seconds=2)


def test_a_job_lost_twice_in_a_day_is_poison_and_once_is_not() -> None:
    for attempt in (1, 2):
        log(1, "lost", attempt=attempt)
        log(3, "lost", attempt=attempt, days_ago=2)
    log(2, "lost")
    log(2, "failed", attempt=2)
    assert [(row["job_id"], row["deaths"]) for row in rows_under("Poison")] == [(1, 2)]


def test_jobs_that_failed_for_good_are_counted() -> None:
    job(status="failed")
    job(status="failed")
    job(status="succeeded")
    [row] = rows_under("Failed for good")
    assert (row["task_name"], row["count"]) == (create_user_log.name, 2)


def test_a_job_that_runs_for_long_is_found_with_its_worker() -> None:
    slow = job(status="doing", minutes_ago=10)
    worker = add_worker(host="a", pid=1)
    execute("UPDATE procrastinate_jobs SET worker_id = %s", worker)
    job(status="doing", minutes_ago=1)
    job(status="succeeded", minutes_ago=20)
    [row] = rows_under("Running for long")
    assert (row["id"], row["worker"]) == (slow, "a:1")
    assert timedelta(minutes=10) <= row["runs"] < timedelta(minutes=11)


def test_room_is_told_of() -> None:
    [row] = rows_under("Room")
    assert 1 <= row["connections"] <= row["allowed"]
    assert (row["notices"], row["invalid_indexes"]) == (0, [])


def test_old_logs_are_pruned_with_their_jobs_that_succeeded() -> None:
    old, recent, failed = (job(status=each) for each in ("succeeded", "succeeded", "failed"))
    log(old, "succeeded", days_ago=31)
    log(failed, "failed", days_ago=31)
    log(recent, "succeeded", days_ago=29)
    execute(statement_with("WITH pruned"))
    assert set(Job.objects.values_list("id", flat=True)) == {recent, failed}
    assert list(JobLog.objects.values_list("job_id", flat=True)) == [recent]


def test_queues_of_a_restored_database_are_paused_and_resumed() -> None:
    for queue, status in (("mail", "todo"), ("slow", "doing"), ("done", "succeeded")):
        job(queue=queue, status=status)
    JobQueue.objects.create(name="mail")
    execute(statement_with("INSERT INTO job_queues"))
    paused = JobQueue.objects.filter(paused_at__isnull=False)
    assert set(paused.values_list("name", flat=True)) == {"mail", "slow"}
    execute(statement_with("SET paused_at = NULL"))
    assert not paused.exists()
