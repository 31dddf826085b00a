"""Logs, jobs, workers and periodic tasks in the admin."""

from __future__ import annotations

from joblogs.admin.jobs import JobAdmin
from joblogs.admin.user_logs import UserLogAdmin
from joblogs.admin.workers import PeriodicTaskAdmin, WorkerAdmin

__all__ = ["JobAdmin", "PeriodicTaskAdmin", "UserLogAdmin", "WorkerAdmin"]
