"""What became of each attempt to run a job."""

from __future__ import annotations

from django.db import models


class JobLog(models.Model):
    """One attempt of any job, written by the statement that ended it.

    There is none for attempts of a stock worker, nor for `run_now`. Jobs are deleted sooner than
    their logs, so nothing here is a foreign key.
    """

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        ABORTED = "aborted", "aborted"
        LOST = "lost", "lost, as its worker died"

    job_id = models.BigIntegerField("job")
    #: Counted from 1, through all retries. Gaps are attempts of stock workers.
    attempt = models.PositiveIntegerField()
    task_name = models.CharField("task", max_length=128)
    queue_name = models.CharField("queue", max_length=128)
    worker = models.CharField(max_length=300, help_text="Its host and process id.")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome)
    error_class = models.CharField("error", max_length=300, blank=True)
    error_message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    #: What the task returned, if it is JSON; shortened to text when it is long.
    result = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "job_logs"
        verbose_name = "job log"
        default_permissions = ("view",)
        ordering = ["-finished_at", "-id"]
        get_latest_by = "finished_at"
        indexes = [
            models.Index(fields=["job_id"], name="job_logs_job_id_idx"),
            models.Index(fields=["finished_at"], name="job_logs_finished_at_idx"),
        ]

    def __str__(self) -> str:
        return f"Attempt {self.attempt} of job {self.job_id}: {self.outcome}"

    @property
    def ran(self) -> float:
        """How long it ran, in seconds."""
        return (self.finished_at - self.started_at).total_seconds()
