"""Workers in the database that there are none of, and the options of real ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from joblogs.models import Job, JobWorker, Worker
from tests.sql import execute

if TYPE_CHECKING:
    from datetime import datetime

# Options of a worker that looks soon for the jobs of others that died, and for jobs of nobody.
SOON = {"update_heartbeat_interval": 0.2, "stalled_worker_timeout": 1.0}
# The flags of the command that say so.
RESCUES_SOON = ("--heartbeat-interval", "0.2", "--dead-after", "1")
# Those of a worker that lives by notices alone.
SELDOM = ("--fetch-job-polling-interval", "600")


def add_worker(
    *,
    stock: bool = False,
    silent_for: int = 0,
    queues: list[str] | None = None,
    state: str = "running",
    host: str = "somewhere",
    pid: int = 1,
) -> int:
    """Register a worker as it does itself, and return its id."""
    [(pk, seen_at)] = execute(
        "INSERT INTO procrastinate_workers (last_heartbeat)"
        " VALUES (now() - make_interval(secs => %s)) RETURNING id, last_heartbeat",
        silent_for,
    )
    if not stock:
        JobWorker.objects.create(
            worker_id=pk,
            name="worker",
            host=host,
            pid=pid,
            queues=queues,
            concurrency=10,
            running=0,
            version="1.2.3",
            state=state,
            memory=64 * 1024**2,
            holds_lock=True,
            started_at=seen_at - timedelta(hours=1),
            seen_at=seen_at,
        )
    return int(pk)


def unregister(worker: int) -> datetime:
    """Delete a worker's row, as nobody should, so that its jobs are nobody's; return when."""
    at: datetime
    # In one transaction: a worker that lives registers again with its next heartbeat.
    with transaction.atomic():
        [(at,)] = execute("SELECT clock_timestamp() FROM joblogs_unregister_worker_v1(%s)", worker)
        assert not Worker.objects.filter(pk=worker).exists()
        assert not Job.objects.filter(worker=worker).exists()
    return at


def give_to_a_worker(*job_ids: int, last_heartbeat: datetime | None = None) -> int:
    """Have jobs run in a new worker, which died a minute ago if not told otherwise; return its id.

    In one statement, lest a worker that looks for dead ones finds it without jobs.
    """
    [(worker,)] = execute(
        "WITH worker AS (INSERT INTO procrastinate_workers (last_heartbeat)"
        "   VALUES (coalesce(%s, now() - interval '1 minute')) RETURNING id),"
        " given AS (UPDATE procrastinate_jobs SET status = 'doing', worker_id = worker.id"
        "   FROM worker WHERE procrastinate_jobs.id = ANY (%s))"
        " SELECT id FROM worker",
        *(last_heartbeat, list(job_ids)),
    )
    return int(worker)
