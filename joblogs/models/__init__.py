"""What ran: the users' logs, and Procrastinate's tables seen from here."""

from __future__ import annotations

from joblogs.models.job import Job, JobQuerySet, Verdict
from joblogs.models.user_log import UserLog
from joblogs.models.worker import PeriodicTask, Worker

__all__ = ["Job", "JobQuerySet", "PeriodicTask", "UserLog", "Verdict", "Worker"]
