"""Procrastinate's jobs, and what people can do to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from django.db import IntegrityError, connections, models, transaction
from django.utils import timezone
from procrastinate.contrib.django.exceptions import ReadOnlyModel
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateReadOnlyManager

from joblogs import verbs
from joblogs.engine.waking import wake_after_commit
from joblogs.redaction import redact

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Self

    from joblogs.verbs import Verb

SQL = Path(__file__).parent / "sql"
UNIQUE_VIOLATION = "23505"  # PostgreSQL's error code
# How often a verb is tried while jobs with the same queueing locks come and go.
MOST_TRIES = 10

STATES = {"todo": "waiting", "doing": "running"}  # the others are words already


BY_VERBS = "Jobs are changed by their verbs alone: retry, cancel, abort, run_now, delete_ended."


class Verdict(NamedTuple):
    """Which jobs a verb was, or would be, done to, and why not to the others."""

    jobs: list[Job]
    #: Reasons by job id, such as "running".
    refused: dict[int, str]


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs. The verbs take as many as one likes, and are all or nothing in the database.

    They leave alone the jobs for which they make no sense, do the rest, and return a Verdict,
    whose jobs are as they were before, without their arguments. They wait for whoever is changing
    one of these jobs. Each job takes some memory: with millions, go by parts.
    """

    def about_user(self, user_id: int) -> Self:
        """Jobs that name this user and have not succeeded, newest first; found through an index."""
        return (
            self.filter(args__has_key="user_id", args__user_id=user_id)
            .exclude(status="succeeded")
            .order_by("-id")
        )

    def queue_names(self) -> list[str]:
        """Return the names of all queues that have jobs, in order; the first 100 of them."""
        with connections[self.db].cursor() as cursor:
            cursor.execute((SQL / "queue_names.sql").read_text(), {"limit": 100})
            return [name for (name,) in cursor.fetchall()]

    def retry(self) -> Verdict:
        """Queue jobs again that failed, were cancelled or aborted.

        Attempts go on being counted: one that has used up its retries runs once more.
        """
        return self.perform(verbs.RETRY)

    def cancel(self) -> Verdict:
        """Keep jobs that wait from running."""
        return self.perform(verbs.CANCEL)

    def abort(self) -> Verdict:
        """Ask the workers of running jobs to stop them."""
        return self.perform(verbs.ABORT)

    def run_now(self) -> Verdict:
        """Make scheduled jobs due."""
        return self.perform(verbs.RUN_NOW)

    def delete_ended(self) -> Verdict:
        """Delete jobs that have ended, with their events."""
        return self.perform(verbs.DELETE)

    def update(self, **values: object) -> int:
        raise ReadOnlyModel(BY_VERBS)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise ReadOnlyModel(BY_VERBS)

    def perform(self, verb: Verb) -> Verdict:
        tries = 0
        while True:
            tries += 1
            try:
                with transaction.atomic(using=self.db):
                    verdict = self.select_for_update(of=("self",)).judge(verb)
                    if verdict.jobs:
                        self._execute(verb, verdict.jobs)
            except IntegrityError as error:
                # Meanwhile a job with the queueing lock of one of these was deferred. It is seen
                # now, unless the caller's transaction sees things as they were when it began.
                sqlstate = getattr(error.__cause__, "sqlstate", None)
                if sqlstate != UNIQUE_VIOLATION or tries == MOST_TRIES:
                    raise
            else:
                return verdict

    def _execute(self, verb: Verb, jobs: list[Job]) -> None:
        with connections[self.db].cursor() as cursor:
            ids = [job.pk for job in jobs]
            cursor.execute((SQL / f"{verb.name}.sql").read_text(), {"ids": ids})
        if verb.wakes:
            wake_after_commit({job.queue_name for job in jobs}, using=self.db)

    def judge(self, verb: Verb) -> Verdict:
        """Tell what `perform` would do right now, without doing it."""
        now = timezone.now()
        jobs, refused = [], {}
        for job in self.defer("args").order_by("pk"):
            if reason := job.reason_against(verb, now):
                refused[job.pk] = reason
            else:
                jobs.append(job)
        if verb is verbs.RETRY:
            twins = self._twins(jobs)
            refused |= twins
            jobs = [job for job in jobs if job.pk not in twins]
        return Verdict(jobs, refused)

    def _twins(self, candidates: list[Job]) -> dict[int, str]:
        """Find the jobs that cannot be queued because another one with their queueing lock is."""
        locked = [job for job in candidates if job.queueing_lock is not None]
        holders: dict[str | None, int] = dict(
            Job.objects.using(self.db)
            .filter(status="todo", queueing_lock__in={job.queueing_lock for job in locked})
            .values_list("queueing_lock", "pk")
        )
        twins = {}
        for job in locked:
            holder = holders.setdefault(job.queueing_lock, job.pk)
            if holder != job.pk:
                twins[job.pk] = f"job {holder} with the same queueing lock is queued"
        return twins


class JobManager(ProcrastinateReadOnlyManager.from_queryset(JobQuerySet)):  # type: ignore[misc]  # untyped
    """Procrastinate's own manager, which writes nothing, with our questions and verbs."""


class Job(ProcrastinateJob):
    """Procrastinate's job."""

    objects: ClassVar[JobManager] = JobManager()

    #: What lists look up for all their rows at once.
    about: str
    changed_at: datetime | None

    class Meta:
        proxy = True
        verbose_name = "job"
        default_permissions = ("view",)
        permissions = [
            ("retry_job", "Can retry jobs"),
            ("cancel_job", "Can cancel jobs"),
            ("abort_job", "Can abort jobs"),
            ("run_now_job", "Can make scheduled jobs run now"),
            ("delete_job", "Can delete ended jobs"),
        ]

    def __str__(self) -> str:
        # Procrastinate's own names the arguments, which may be secret.
        return f"Job {self.pk} {self.task_name}"

    @property
    def arguments(self) -> Any:
        """The arguments, with secrets masked: for whatever is shown."""
        return redact(self.args)

    @property
    def user_id(self) -> int | None:
        """The user whom the job is about: its argument `user_id`."""
        user_id = self.args.get("user_id") if isinstance(self.args, dict) else None
        # Neither true, which is an integer to Python, nor what no id can be.
        return user_id if type(user_id) is int and 0 < user_id < 2**63 else None

    def is_scheduled(self, now: datetime) -> bool:
        """Tell whether the job waits for its time."""
        return bool(self.status == "todo" and self.scheduled_at and self.scheduled_at > now)

    @property
    def state(self) -> str:
        """The status in words: waiting, scheduled, running, aborting, succeeded, failed, …"""
        if self.is_scheduled(timezone.now()):
            return "scheduled"
        if self.status == "doing" and self.abort_requested:
            return "aborting"
        return STATES.get(self.status, self.status)

    def reason_against(self, verb: Verb, now: datetime) -> str:
        """Return why a verb makes no sense for this job as it is, or "" when it does."""
        if self.status not in verb.states:
            return verb.hints.get(self.status, self.state)
        if verb is verbs.ABORT and self.abort_requested:
            return "asked to abort already"
        if verb is verbs.RUN_NOW and not self.is_scheduled(now):
            return "due already"
        return ""
