"""What the job tables should say, in the simplest words there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# The only times that jobs are scheduled for, so that nothing becomes due by itself.
NOW = datetime.now(UTC).replace(microsecond=0)
PAST, TOMORROW, NEXT_WEEK = (NOW + timedelta(days=days) for days in (-1, 1, 7))

# Workers that may die over a job, which fails with the last of them.
MOST_DEATHS = 2

ENDED = ("succeeded", "failed", "cancelled", "aborted")


@dataclass(slots=True)
class ModelJob:
    id: int
    task: str
    queue: str
    priority: int
    lock: str | None
    queueing_lock: str | None
    scheduled_at: datetime | None
    status: str = "todo"
    attempts: int = 0
    worker: int | None = None
    abort_requested: bool = False

    @property
    def is_due(self) -> bool:
        return self.scheduled_at is None or self.scheduled_at <= NOW

    @property
    def order(self) -> tuple[int, int]:
        return (-self.priority, self.id)

    @property
    def row(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in ModelJob.__slots__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An attempt that some worker has started, and perhaps lost or ended since."""

    job: int
    attempts: int
    worker: int
    started_at: float
    task: str
    queue: str


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how an attempt's job is to run again."""

    at: datetime
    priority: int | None = None
    queue: str | None = None
    lock: str | None = None


@dataclass
class Model:
    jobs: dict[int, ModelJob] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    #: Of each attempt that was ended by its owner: job, attempt, outcome.
    logs: list[tuple[int, int, str]] = field(default_factory=list)
    ended: set[Fetched] = field(default_factory=set)

    def is_queued(self, queueing_lock: str | None) -> bool:
        return queueing_lock is not None and any(
            job.status == "todo" and job.queueing_lock == queueing_lock
            for job in self.jobs.values()
        )

    def with_status(self, *statuses: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.status in statuses]

    def startable(self, queues: Collection[str] | None, paused: set[str]) -> list[ModelJob]:
        """Return the jobs that may start, in their order."""
        running = {job.lock for job in self.with_status("doing")}
        seen: set[str] = set()
        found = []
        for job in sorted(self.with_status("todo"), key=lambda job: job.order):
            if job.lock is not None:
                if job.lock in running or job.lock in seen:
                    continue
                seen.add(job.lock)
            served = queues is None or job.queue in queues
            if job.is_due and served and job.queue not in paused:
                found.append(job)
        return found

    def fetch(
        self, worker: int, queues: Collection[str] | None, starts: int, sizes: Mapping[str, int]
    ) -> list[list[int]]:
        """Start jobs, and return the ids of those of each start."""
        found: list[list[ModelJob]] = []
        open_batches: dict[tuple[str, str], list[ModelJob]] = {}
        for job in self.startable(queues, self.paused):
            # A job that was tried before is tried by itself.
            is_of_a_batch = job.task in sizes and job.attempts == 0
            batch = open_batches.get((job.task, job.queue)) if is_of_a_batch else None
            if batch is not None and len(batch) < sizes[job.task]:
                batch.append(job)
                continue
            found.append([job])
            if is_of_a_batch:
                open_batches[job.task, job.queue] = found[-1]
        del found[starts:]
        for job in (job for jobs in found for job in jobs):
            job.status, job.worker = "doing", worker
        return [[job.id for job in jobs] for jobs in found]

    def is_owned(self, fetched: Fetched, worker: int | None) -> bool:
        """Tell whether an attempt is going on and this worker's."""
        job = self.jobs.get(fetched.job)
        return (
            job is not None
            and job.status == "doing"
            and job.worker == worker
            and job.attempts == fetched.attempts
        )

    def finish(
        self,
        worker: int | None,
        attempts: Iterable[Fetched],
        outcome: str,
        *,
        delete: bool = False,
        retry: Retry | None = None,
    ) -> dict[int, str]:
        """End attempts of different jobs, and return what happened unless it went well."""
        verdicts = {}
        for fetched in sorted(attempts, key=lambda fetched: fetched.job):
            if not self.is_owned(fetched, worker):
                verdicts[fetched.job] = "repeated" if fetched in self.ended else "not owned"
                continue
            self.ended.add(fetched)
            job = self.jobs[fetched.job]
            if retry:
                if refused := self.give_back(job, retry, outcome):
                    verdicts[job.id] = refused
            else:
                self._end(job, outcome, outcome)
                if delete:
                    del self.jobs[job.id]
        return verdicts

    def give_back(self, job: ModelJob, retry: Retry, outcome: str) -> str:
        """End an attempt for another; return why there is none, if so."""
        refused = "has a twin" if self.is_queued(job.queueing_lock) else ""
        if job.abort_requested:
            refused = "to be aborted"
        self._end(job, "failed" if refused else "todo", outcome)
        if refused:
            return refused
        job.scheduled_at = retry.at
        job.priority = job.priority if retry.priority is None else retry.priority
        job.queue = retry.queue or job.queue
        job.lock = retry.lock or job.lock
        return ""

    def lose(self, job: ModelJob) -> str:
        """End the attempt of a job whose worker died; return why there is no other, if so."""
        if job.abort_requested:
            self._end(job, "aborted", "lost")
        elif self._deaths(job) + 1 >= MOST_DEATHS:
            self._end(job, "failed", "lost")
        else:
            return self.give_back(job, Retry(PAST), "lost")
        return ""

    def _deaths(self, job: ModelJob) -> int:
        return sum((of, outcome) == (job.id, "lost") for of, _, outcome in self.logs)

    def forget(self, worker: int) -> None:
        """Delete a worker's row, which takes all its jobs away from it."""
        for job in self.jobs.values():
            if job.worker == worker:
                job.worker = None

    def _end(self, job: ModelJob, status: str, outcome: str) -> None:
        job.status, job.worker, job.abort_requested = status, None, False
        job.attempts += 1
        self.logs.append((job.id, job.attempts, outcome))

    def next_due(self, queues: Collection[str] | None) -> datetime | None:
        return min(
            (
                job.scheduled_at
                for job in self.with_status("todo")
                if job.scheduled_at is not None
                and not job.is_due
                and job.queue not in self.paused
                and (queues is None or job.queue in queues)
            ),
            default=None,
        )


def row_of(attempts: int, task: str, queue: str, outcome: str, **more: Any) -> dict[str, Any]:
    """Return what the SQL function that ends attempts is told of one."""
    row = {"attempts": attempts, "task": task, "queue": queue, "status": outcome}
    return row | {"outcome": outcome, "delete": False, "finished_at": NOW.timestamp()} | more
