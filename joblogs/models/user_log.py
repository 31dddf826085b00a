"""The users' logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connections, models
from django.db.models.functions import Now

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WRITE_LOGS = (Path(__file__).parent / "sql" / "write_logs.sql").read_text()


class UserLogManager(models.Manager["UserLog"]):
    def write(self, *, user_id: int, job_id: int | None = None) -> bool:
        """Write the user's log for this job, once however often it is called for the same job.

        Returns False, and writes nothing, when the user does not exist (any more). Waits for a
        transaction that is deleting the user to end.
        """
        [written] = self.write_many([(user_id, job_id)])
        return written

    def write_many(self, pairs: Sequence[tuple[int, int | None]]) -> list[bool]:
        """Do the same for many pairs of user and job, in one statement."""
        users, jobs = zip(*pairs, strict=True)
        with connections[self.db].cursor() as cursor:
            cursor.execute(WRITE_LOGS, {"users": list(users), "jobs": list(jobs)})
            present = {user_id for (user_id,) in cursor.fetchall()}
        return [user_id in present for user_id in users]

    def count_by_user(self, user_ids: Iterable[int]) -> dict[int, int]:
        """Return how many logs these users have; those without any are left out."""
        logs = self.filter(user__in=list(user_ids)).order_by()
        return dict(logs.values_list("user").annotate(count=models.Count("*")))


class UserLog(models.Model):
    """One line of a user's history, written by the job that creating the user deferred."""

    # The database itself deletes a deleted user's logs (see the first migration), so that a log
    # written while its user is being deleted neither stops the deletion nor outlives it.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="logs",
        db_constraint=False,
        db_index=False,
    )
    job_id = models.BigIntegerField(
        "job", null=True, blank=True, editable=False, help_text="Empty when no job wrote this log."
    )
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    objects = UserLogManager()

    class Meta:
        db_table = "user_logs"
        ordering = ["-created_at", "-id"]
        get_latest_by = "created_at"
        constraints = [
            # Job ids can start again after a truncate, so a job's id alone is not unique for ever.
            models.UniqueConstraint(fields=["job_id", "user"], name="user_logs_job_id_user_id_key"),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="user_logs_of_user_idx"),
            models.Index(fields=["-created_at", "-id"], name="user_logs_newest_idx"),
        ]

    def __str__(self) -> str:
        return f"Log {self.pk} of user {self.user_id}"
