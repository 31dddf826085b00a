"""What ran: the users' logs, and Procrastinate's tables seen from here."""

from __future__ import annotations

from joblogs.models.job import Job, JobQuerySet, Verdict
from joblogs.models.job_log import JobLog
from joblogs.models.job_queue import JobQueue
from joblogs.models.job_worker import JobWorker
from joblogs.models.user_log import UserLog
from joblogs.models.worker import PeriodicTask, Worker

__all__ = [
    "Job",
    "JobLog",
    "JobQuerySet",
    "JobQueue",
    "JobWorker",
    "PeriodicTask",
    "UserLog",
    "Verdict",
    "Worker",
]
