"""How far the log of a user has come, in words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.timesince import timesince

from joblogs.models import Job, UserLog
from joblogs.tasks import create_user_log

SHOWN_LOGS = 10
SOON = timedelta(seconds=10)
FRESH = timedelta(minutes=1)


class Progress(NamedTuple):
    """The state of the job that writes a user's log, or of the log it wrote."""

    #: waiting, scheduled, retrying, running, failed, cancelled, aborted or logged
    state: str
    text: str
    job: Job | None
    #: How often to look again, for htmx ("1s"); None when nothing more is expected.
    poll_every: str | None

    @property
    def seen(self) -> str:
        """What a page says back when it looks again, to learn only of changes."""
        return f"{self.poll_every} {self.text}"


def user_logs_context(user_id: int, created_at: datetime) -> dict[str, Any]:
    """Return what the template `joblogs/_user_logs.html` shows of a user, besides `account`."""
    # The job first: one that finishes in between has its log written by then.
    job = Job.objects.about_user(user_id).filter(task_name=create_user_log.name).first()
    logs = UserLog.objects.filter(user_id=user_id)
    progress: Progress | None
    if job and not logs.filter(job_id=job.pk).exists():
        progress = _job_progress(job, created_at)
    elif first := logs.order_by("created_at", "id").first():
        took = duration(first.created_at - created_at)
        progress = Progress("logged", f"Logged {took} after creation", job, None)
    else:
        progress = None
    return {
        "logs": logs[:SHOWN_LOGS],
        "log_count": logs.count(),
        "progress": progress,
        "poll_every": progress and progress.poll_every,
    }


def _job_progress(job: Job, created_at: datetime) -> Progress:
    now = timezone.now()
    fresh = now - created_at < FRESH
    if job.status == "todo" and job.scheduled_at and job.scheduled_at > now:
        wait = job.scheduled_at - now
        poll_every = "1s" if wait < SOON else "5s"
        if job.attempts:
            text = f"Failed {_times(job.attempts)}, runs again in {duration(wait)}"
            return Progress("retrying", text, job, poll_every)
        return Progress("scheduled", f"Scheduled, runs in {duration(wait)}", job, poll_every)
    if job.status == "todo":
        return Progress("waiting", "Waiting for a worker", job, "1s" if fresh else "5s")
    if job.status == "doing":
        return Progress("running", "Running", job, "1s")
    if job.status == "failed":
        text = f"Failed {_times(job.attempts)}, no log was written"
        return Progress("failed", text, job, None)
    return Progress(job.status, f"{job.status.capitalize()}, no log was written", job, None)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def duration(delta: timedelta) -> str:
    """Return a length of time in words: "14 ms", "3.2 s", "5 minutes"; never negative."""
    seconds = max(delta.total_seconds(), 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    now = timezone.now()
    return timesince(now - delta, now, depth=1).replace("\xa0", " ")
