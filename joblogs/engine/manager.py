"""What Procrastinate's job manager does with the job tables, with Joblogs' SQL."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeGuard

from asgiref.sync import sync_to_async
from django.db import transaction
from procrastinate import jobs as procrastinate_jobs
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.manager import JobManager as StockJobManager
from psycopg.types.json import Jsonb

from joblogs.engine import queries
from joblogs.engine.connections import commits_by_itself
from joblogs.engine.connectors import DjangoConnector, WorkerConnector
from joblogs.engine.fetched import FetchedJob
from joblogs.engine.waking import wake_after_commit, waker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from procrastinate.jobs import Job
    from procrastinate.types import JSONDict

logger = logging.getLogger(__name__)


class JobManager(StockJobManager):
    """Defers without NOTIFY in the transaction; fetches and finishes many jobs at a time.

    Jobs that are deferred on a connection of the caller's own (`connection=`) or amid a transaction
    that is committed by hand wake workers Procrastinate's way: nothing tells when it commits.
    """

    def batch_defer_jobs(self, jobs: list[Job], connection: Any | None = None) -> list[Job]:
        """Insert jobs on Django's connection, and wake their workers after its commit.

        Raises AlreadyEnqueued, after which an enclosing transaction goes on, when the queueing lock
        of one of them is taken; none is inserted then.
        """
        connector = self.connector.get_sync_connector()
        if connection is not None or not _tells_when_it_commits(connector):
            return super().batch_defer_jobs(jobs, connection)
        guarded = any(job.queueing_lock for job in jobs)
        with transaction.atomic(using=connector.alias) if guarded else nullcontext():
            try:
                rows = connector.execute_query_all(**self._defer_quietly(jobs))
            except UniqueViolation as error:
                self._raise_already_enqueued(exc=error, queueing_lock=error.queueing_lock)
        wake_after_commit({job.queue for job in jobs}, using=connector.alias)
        return _as_deferred(jobs, rows)

    async def batch_defer_jobs_async(
        self, jobs: list[Job], connection: Any | None = None
    ) -> list[Job]:
        """Do the same for asynchronous code; inside a worker's task on the worker's connections."""
        if connection is not None:
            return await super().batch_defer_jobs_async(jobs, connection)
        if isinstance(self.connector, DjangoConnector):
            return await sync_to_async(self.batch_defer_jobs)(jobs)
        try:
            rows = await self.connector.execute_query_all_async(**self._defer_quietly(jobs))
        except UniqueViolation as error:
            self._raise_already_enqueued(exc=error, queueing_lock=error.queueing_lock)
        if isinstance(self.connector, WorkerConnector):
            waker(self.connector.alias).wake({job.queue for job in jobs}, here=False)
        return _as_deferred(jobs, rows)

    def _defer_quietly(self, jobs: list[Job]) -> dict[str, Any]:
        return self._defer_jobs_query_kwargs(jobs) | {"query": queries.DEFER_JOBS}

    async def fetch_jobs(
        self,
        queues: Iterable[str] | None,
        worker_id: int | None,
        *,
        starts: int,
        batch_sizes: Mapping[str, int],
    ) -> list[list[FetchedJob]]:
        """Take jobs of these queues (of all, when None), at most as many as make so many starts.

        A start is one job, or several of a task that `batch_sizes` names, at most so many.
        """
        rows = await self.connector.execute_query_all_async(
            query=queries.FETCH_JOBS,
            queues=_names(queues),
            worker_id=worker_id,
            starts=starts,
            batch_tasks=list(batch_sizes),
            batch_sizes=list(batch_sizes.values()),
        )
        return [
            [FetchedJob.from_row(row) for row in start]
            for _, start in groupby(sorted(rows, key=itemgetter("start")), key=itemgetter("start"))
        ]

    async def seconds_until_due(
        self, queues: Iterable[str] | None, *, since: float = 0.0
    ) -> float | None:
        """Return when the next scheduled job of these queues is due, or None if there is none.

        One that became due in the last `since` seconds counts: less than 0 is returned for it.
        """
        row = await self.connector.execute_query_one_async(
            query=queries.NEXT_DUE, queues=_names(queues), since=since
        )
        seconds: float | None = row["seconds"]
        return seconds

    async def finish_attempts(
        self, worker_id: int | None, worker: str, attempts: Mapping[int, JSONDict]
    ) -> dict[int, str]:
        """End attempts as the SQL function joblogs_finish_jobs_v1 describes them.

        Returns what happened to those that were not simply finished, by the job's id.
        """
        rows = await self.connector.execute_query_all_async(
            query=queries.FINISH_JOBS,
            worker_id=worker_id,
            worker=worker,
            attempts=Jsonb(attempts),
        )
        return {row["job"]: row["verdict"] for row in rows}

    async def owned_jobs(self, worker_id: int | None, jobs: Sequence[FetchedJob]) -> set[int]:
        """Return the ids of those that the worker still owns, after transactions under way."""
        rows = await self.connector.execute_query_all_async(
            query=queries.OWNED_JOBS,
            worker_id=worker_id,
            jobs=[job.id for job in jobs],
            attempts=[job.attempts for job in jobs],
        )
        return {row["id"] for row in rows}

    async def taken_jobs(self, worker_id: int | None, known: Sequence[int]) -> list[FetchedJob]:
        """Return a worker's running jobs that are not among those whose ids are known."""
        rows = await self.connector.execute_query_all_async(
            query=queries.TAKEN_JOBS, worker_id=worker_id, known=known
        )
        return [FetchedJob.from_row(row) for row in rows]

    async def jobs_lost_often(self, jobs: Sequence[FetchedJob], number: int) -> set[int]:
        """Return the ids of those that were running in so many workers that died, or more."""
        rows = await self.connector.execute_query_all_async(
            query=queries.DEATHS,
            jobs=[job.id for job in jobs],
            attempts=[job.attempts for job in jobs],
            number=number,
        )
        return {row["job_id"] for row in rows}

    async def put_back(
        self, worker_id: int | None, jobs: Sequence[int], *, seconds: float
    ) -> set[int]:
        """Put back jobs that were not begun, to start in so many seconds; return which could be."""
        if not jobs:
            return set()
        rows = await self.connector.execute_query_all_async(
            query=queries.PUT_BACK, worker_id=worker_id, jobs=jobs, seconds=seconds
        )
        return {row["id"] for row in rows}

    async def list_jobs_to_abort_async(self, queue: str | None = None) -> Iterable[int]:
        """Return the ids of running jobs that somebody asked to abort."""
        rows = await self.connector.execute_query_all_async(
            query=queries.JOBS_TO_ABORT, queue=queue
        )
        return [row["id"] for row in rows]

    def retry_job_by_id(
        self,
        job_id: int,
        retry_at: datetime,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Queue a job again that failed, was cancelled or aborted, or whose worker is gone.

        Its attempts are counted once. One whose worker is gone is aborted instead if somebody asked
        for that.

        Raises AlreadyEnqueued when a job with its queueing lock is queued (one whose worker is gone
        has failed then); ConnectorException, as stock does, when it waits, has succeeded, runs in a
        worker that lives, or is not there. After both an enclosing transaction goes on.
        """
        row = self.connector.get_sync_connector().execute_query_one(
            query=queries.RETRY_JOB,
            job_id=job_id,
            retry_at=retry_at,
            priority=priority,
            queue=queue,
            lock=lock,
        )
        _raise_unless_retried(job_id, row["verdict"])

    async def retry_job_by_id_async(
        self,
        job_id: int,
        retry_at: datetime,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Do the same for asynchronous code."""
        row = await self.connector.execute_query_one_async(
            query=queries.RETRY_JOB,
            job_id=job_id,
            retry_at=retry_at,
            priority=priority,
            queue=queue,
            lock=lock,
        )
        _raise_unless_retried(job_id, row["verdict"])


def _raise_unless_retried(job_id: int, verdict: str) -> None:
    if verdict == "has a twin":
        raise AlreadyEnqueued(
            f"Job {job_id} cannot be retried: "
            "there is already a job in the queue with its queueing lock"
        )
    if verdict not in {"retried", "aborted"}:
        reason = {"doing": "running, abort it first", "todo": "waiting"}.get(verdict, verdict)
        raise ConnectorException(f"Job {job_id} cannot be retried: {reason}")


def _tells_when_it_commits(connector: object) -> TypeGuard[DjangoConnector]:
    if not isinstance(connector, DjangoConnector):
        return False
    connection = connector.connection
    return connection.in_atomic_block or commits_by_itself(connection)


def _as_deferred(jobs: list[Job], rows: list[dict[str, Any]]) -> list[Job]:
    todo = procrastinate_jobs.Status.TODO.value
    return [job.evolve(id=row["id"], status=todo) for job, row in zip(jobs, rows, strict=True)]


def _names(queues: Iterable[str] | None) -> list[str] | None:
    """Return each of these queues once; None means all."""
    return list(dict.fromkeys(queues)) if queues else None
