"""Stock workers and producers work on the same tables as ours, at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import transaction
from procrastinate.contrib.django import app

from accounts.models import User
from joblogs.models import Job, JobLog, UserLog
from tests.jobs import have_ended
from tests.processes import Process, database_url
from tests.sql import execute
from tests.waiting import wait_for
from tests.workers import SELDOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., "FleetWorker"]

pytestmark = pytest.mark.django_db(transaction=True)

IDLE = """
    SELECT bool_or(query ILIKE 'listen%%' OR query ILIKE '%%joblogs_worker_lock_v1%%')
       AND count(*) > 1
       AND bool_and(state = 'idle' AND clock_timestamp() > state_change + interval '300 ms')
      FROM pg_stat_activity
     WHERE application_name = %s
"""


class FleetWorker(Process):
    """A worker of one of the two kinds, whose connections bear its kind's name."""

    def __init__(self, kind: str, *flags: str, log: Path) -> None:
        settings = {"stock": "tests.engine.stock_settings", "ours": "tests.engine.fleet_settings"}
        super().__init__(
            *("manage.py", "procrastinate", "worker", *flags),
            url=database_url(),
            log=log,
            DJANGO_SETTINGS_MODULE=settings[kind],
            PGAPPNAME=kind,
        )


@pytest.fixture
def start(transactional_db: None, tmp_path: Path) -> Iterator[Start]:
    """Start a worker, "stock" or "ours", and wait until it waits for notices."""
    execute(
        "CREATE TABLE runs (id serial, job bigint, attempt integer, worker text,"
        " began timestamptz DEFAULT clock_timestamp(), ended timestamptz)"
    )
    workers: list[FleetWorker] = []

    def call(kind: str, *flags: str) -> FleetWorker:
        log = tmp_path / f"{kind}.log"
        workers.append(FleetWorker(kind, *flags, log=log))
        wait_for(lambda: execute(IDLE, kind) == [(True,)] or workers[-1].has_ended)
        assert not workers[-1].has_ended, workers[-1].log
        return workers[-1]

    yield call
    try:
        for worker in workers:
            worker.stop()
    finally:
        execute("DROP TABLE runs")


def test_a_stock_worker_and_one_of_ours_share_the_jobs(start: Start) -> None:
    workers = [start(kind, "-c", "4") for kind in ("stock", "ours")]
    with transaction.atomic():
        for number in range(300):
            app.configure_task(
                "note",
                lock=f"lock {number % 17}" if number % 2 else None,
                priority=number % 3,
                queue="low" if number % 5 else "default",
            ).defer(failures=1 if number % 7 == 0 else 0)
        User.objects.bulk_create([User(username=f"user{number}") for number in range(60)])
    wait_for(have_ended)
    assert [worker.stop() for worker in workers] == [0, 0]

    assert set(Job.objects.values_list("status", flat=True)) == {"succeeded"}
    # Each job ran as often as it was to, no attempt twice, and both workers had their share.
    attempts = execute("SELECT job, attempt FROM runs ORDER BY job, attempt")
    jobs = Job.objects.filter(task_name="note").order_by("pk")
    assert len(jobs) == 300
    expected = [(job.pk, n) for job in jobs for n in range(1 + job.args["failures"])]
    assert attempts == expected
    assert [job.attempts for job in jobs] == [1 + job.args["failures"] for job in jobs]
    shares = execute("SELECT worker, count(*) FROM runs GROUP BY worker")
    assert sorted(worker for worker, runs in shares if runs > 20) == ["ours", "stock"]
    # One job of a lock at a time, in their order; who is to run again goes first.
    overlapping = """
        SELECT earlier.job, later.job
          FROM runs AS earlier
          JOIN runs AS later ON later.id > earlier.id AND later.began < earlier.ended
          JOIN procrastinate_jobs AS one ON one.id = earlier.job
          JOIN procrastinate_jobs AS other ON other.id = later.job AND other.lock = one.lock
    """
    assert execute(overlapping) == []
    ran = execute(
        "SELECT lock, priority, job, attempt FROM runs JOIN procrastinate_jobs AS job"
        " ON job.id = runs.job WHERE lock IS NOT NULL ORDER BY lock, runs.id"
    )
    assert ran == sorted(ran, key=lambda run: (run[0], -run[1], run[2], run[3]))
    # The users have one log each, whoever wrote it.
    users = sorted(User.objects.values_list("pk", flat=True))
    assert len(users) == 60
    assert sorted(UserLog.objects.values_list("user_id", flat=True)) == users
    written_by_ours = execute("SELECT job, attempt + 1 FROM runs WHERE worker = 'ours'")
    logs = JobLog.objects.filter(task_name="note")
    assert sorted(logs.values_list("job_id", "attempt")) == sorted(written_by_ours)


@pytest.mark.parametrize("queue", [None, "low"])
def test_a_stock_worker_wakes_for_what_we_defer(start: Start, queue: str | None) -> None:
    start("stock", *SELDOM, *(["-q", queue] if queue else []))
    app.configure_task("note", queue=queue or "default").defer()
    wait_for(have_ended)


@pytest.mark.parametrize(
    "statement",
    [
        """
        SELECT procrastinate_defer_jobs_v1(ARRAY[
            ROW('low', 'note', 0, NULL, NULL, '{}', NULL)::procrastinate_job_to_defer_v1
        ])
        """,
        "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('low', 'note')",
    ],
    ids=["stock producer", "plain SQL"],
)
@pytest.mark.parametrize("flags", [(), ("-q", "low")])
def test_our_worker_wakes_for_what_others_defer(
    start: Start, statement: str, flags: tuple[str, ...]
) -> None:
    start("ours", *SELDOM, *flags)
    execute(statement)
    wait_for(have_ended)
    assert execute("SELECT worker FROM runs") == [("ours",)]
