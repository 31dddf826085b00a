"""What the job tables say, in the words of the model."""

from __future__ import annotations

from joblogs.models import JobLog
from tests.engine.model import NOW, PAST
from tests.sql import execute


def job_rows() -> list[tuple[object, ...]]:
    """Return the rows of all jobs, as ModelJob.row does; what became due by a verb was due."""
    rows = execute(
        """
        SELECT id, task_name, queue_name, priority, lock, queueing_lock,
               -- Verbs and rescues make jobs due at a time of their own.
               CASE
                   WHEN scheduled_at BETWEEN %s - interval '1 hour' AND now() THEN %s
                   ELSE scheduled_at
               END,
               status::text, attempts, worker_id, abort_requested
          FROM procrastinate_jobs
        """,
        *(NOW, PAST),
    )
    return sorted(rows)


def log_rows() -> list[tuple[int, int, str]]:
    """Return of each attempt that has ended: job, attempt, outcome."""
    return sorted(JobLog.objects.values_list("job_id", "attempt", "outcome"))
