"""The users' logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, models, transaction
from django.db.models.functions import Now

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOREIGN_KEY_VIOLATION = "23503"  # PostgreSQL's error code


class UserLogManager(models.Manager["UserLog"]):
    def write(self, *, user_id: int, job_id: int | None = None) -> bool:
        """Write the user's log for this job, once however often it is called for the same job.

        Returns False, and writes nothing, when the user does not exist (any more). Waits for a
        transaction that is deleting the user to end.
        """
        [written] = self.write_many([(user_id, job_id)])
        return written

    def write_many(self, users: Sequence[tuple[int, int | None]]) -> list[bool]:
        """Do the same for many pairs of user and job, in one statement if all users are there."""
        logs = [UserLog(user_id=user_id, job_id=job_id) for user_id, job_id in users]
        if self._insert(logs):
            return [True] * len(logs)
        everybody = get_user_model()._base_manager.using(self.db)
        wanted = {log.user_id for log in logs}
        there = set(everybody.filter(pk__in=wanted).values_list("pk", flat=True))
        left = [log for log in logs if log.user_id in there]
        if self._insert(left):
            return [log.user_id in there for log in logs]
        # More are going at this moment.
        return [log.user_id in there and self._insert([log]) for log in logs]

    def _insert(self, logs: list[UserLog]) -> bool:
        try:
            # Inside the caller's transaction this is a savepoint: the caller goes on either way.
            with transaction.atomic(using=self.db):
                self.bulk_create(logs, ignore_conflicts=True)
        except IntegrityError as error:
            if getattr(error.__cause__, "sqlstate", None) != FOREIGN_KEY_VIOLATION:
                raise
            return False
        return True

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
