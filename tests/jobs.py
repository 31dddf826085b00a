"""Jobs, and what has become of them."""

from __future__ import annotations

from procrastinate.contrib.django.models import ProcrastinateEvent

from joblogs.models import Job, JobLog
from joblogs.tasks import create_user_log
from tests.sql import execute


def jobs_of(user_id: int) -> list[Job]:
    """Return all jobs, in whatever state, that write a log for the user."""
    return list(
        Job.objects.filter(task_name=create_user_log.name, args={"user_id": user_id}).order_by("id")
    )


def statuses(*job_ids: int) -> list[str]:
    """Return how these jobs are, in this order."""
    return [Job.objects.get(pk=job_id).status for job_id in job_ids]


def status_of(job_id: int) -> str:
    """Return the status of a job whose row Python may not be able to read."""
    [(status,)] = execute("SELECT status::text FROM procrastinate_jobs WHERE id = %s", job_id)
    return str(status)


def have_ended(*job_ids: int) -> bool:
    """Tell whether these jobs have ended, or all when none is named."""
    jobs = Job.objects.filter(pk__in=job_ids) if job_ids else Job.objects.all()
    return not jobs.filter(status__in=["todo", "doing"]).exists()


def outcomes(job_id: int) -> list[tuple[int, str]]:
    """Return the attempts of a job that are on record, each with its outcome."""
    logs = JobLog.objects.filter(job_id=job_id).order_by("id")
    return list(logs.values_list("attempt", "outcome"))


def lost(job_id: int) -> list[int]:
    """Return the attempts of a job that are on record as lost."""
    return [attempt for attempt, outcome in outcomes(job_id) if outcome == "lost"]


def events(job_id: int) -> list[str]:
    """Return what is noted about a job, in its order."""
    noted = ProcrastinateEvent.objects.filter(job_id=job_id).order_by("id")
    return list(noted.values_list("type", flat=True))
