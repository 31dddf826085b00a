"""The worker behind `manage.py procrastinate worker`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connections
from procrastinate import utils
from procrastinate.exceptions import ConnectorException
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.worker import Worker as StockWorker
from psycopg.errors import ForeignKeyViolation

from joblogs.engine import execution
from joblogs.engine.attempt import Attempt
from joblogs.engine.backoff import Backoff
from joblogs.engine.batch import batch_of
from joblogs.engine.finisher import Finisher
from joblogs.engine.threads import JobThreads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from procrastinate.middleware import TaskMiddleware
    from procrastinate.tasks import Task
    from procrastinate.types import JSONDict

    from joblogs.engine.app import EngineApp
    from joblogs.engine.fetched import FetchedJob

logger = logging.getLogger(__name__)

# Seconds without a job after which a worker asks when the next one is due.
PAUSE = 0.02


class Worker(StockWorker):
    """Fetches as many starts as it has slots free, and acknowledges jobs together.

    A slot is taken by one job, or by one batch of a batch task, until it is acknowledged.
    """

    app: EngineApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: What logs call this worker.
        self.label = f"{socket.gethostname()}:{os.getpid()}"
        self.finisher = Finisher(self._write, self.delete_jobs)
        self._batches: dict[asyncio.Task[None], list[Attempt]] = {}
        self._slot_freed = asyncio.Event()
        self._alarm: asyncio.Task[None] | None = None
        self._fetched_at = 0.0

    async def run(self) -> None:
        """Work until asked to stop, or until there is nothing left when it is not to wait."""
        self.threads = JobThreads(self.concurrency)
        self._stopping = asyncio.create_task(self._wait_for_stop())
        try:
            await super().run()  # type: ignore[no-untyped-call]  # Procrastinate leaves run() untyped
        finally:
            self._stopping.cancel()
            if self._alarm:
                self._alarm.cancel()
            self.threads.close()
            # Those of asynchronous tasks, which all use one thread.
            await sync_to_async(connections.close_all)()

    async def _wait_for_stop(self) -> None:
        await self._stop_event.wait()
        self._slot_freed.set()

    async def _fetch_and_process_jobs(self) -> None:
        """Fetch and start jobs until there are none left or the worker is to stop."""
        sizes = self._batch_sizes()
        if self._alarm:
            self._alarm.cancel()
        while not self._stop_event.is_set():
            free = self.concurrency - len(self._running_jobs)
            if not free:
                self._slot_freed.clear()
                await self._slot_freed.wait()
                continue
            # Before the fetch: who is deferred meanwhile is looked for again.
            self._new_job_event.clear()
            self._fetched_at = time.monotonic()
            starts = await self._fetch(free, sizes)
            for jobs in starts:
                self._start(jobs)
            # With batches there may be more: a fetch looks only so far ahead.
            if not starts or (len(starts) < free and all(len(jobs) == 1 for jobs in starts)):
                break
        if self.wait and not self._stop_event.is_set():
            self._alarm = asyncio.create_task(self._wake_when_due(), name="wake when due")

    async def _fetch(self, starts: int, batch_sizes: dict[str, int]) -> list[list[FetchedJob]]:
        """Fetch jobs, trying for as long as it takes while the database cannot be reached."""
        backoff = Backoff("No jobs can be fetched", "Jobs can be fetched again")
        while not self._stop_event.is_set():
            try:
                if self.worker_id is None:
                    self.worker_id = await self.app.job_manager.register_worker()
                fetched = await self.app.job_manager.fetch_jobs(
                    self.queues, self.worker_id, starts=starts, batch_sizes=batch_sizes
                )
            except ConnectorException as error:
                if isinstance(error.__cause__, ForeignKeyViolation):
                    # Somebody took this worker for dead, and deleted its row.
                    self.worker_id = None
                    continue
                pause = backoff.after(error)
                await utils.wait_any(asyncio.sleep(pause), self._stop_event.wait())
            else:
                backoff.succeeded()
                return fetched
        return []

    def _start(self, jobs: list[FetchedJob]) -> None:
        attempts = [Attempt(job) for job in jobs]
        task = asyncio.create_task(
            execution.run(self, attempts), name=f"run {jobs[0].task_name}[{jobs[0].id}]"
        )
        self._running_jobs[task] = self.context_of(attempts[0])
        if len(attempts) > 1:
            self._batches[task] = attempts
        task.add_done_callback(partial(self._free_slot, attempts))

    def _free_slot(self, attempts: list[Attempt], task: asyncio.Task[None]) -> None:
        del self._running_jobs[task]
        self._batches.pop(task, None)
        for attempt in attempts:
            self._job_ids_to_abort.pop(attempt.job.id, None)
        if any(attempt.job.lock for attempt in attempts):
            # Somebody may have waited for the lock.
            self._new_job_event.set()
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()):
            logger.error("Running a job failed in an unforeseen way.", exc_info=error)

    async def _wake_when_due(self) -> None:
        """Look for jobs again when the next scheduled one is due; cancelled when there are some."""
        # There may be something to do again in a moment: then nobody need ask.
        await asyncio.sleep(PAUSE)
        # A query is not cancelled halfway: that costs more than its answer.
        seconds = await asyncio.shield(self._seconds_until_due())
        if seconds is not None and seconds < self.fetch_job_polling_interval:
            await asyncio.sleep(max(seconds, 0))
            self._new_job_event.set()

    async def _seconds_until_due(self) -> float | None:
        try:
            # A job may have become due since the last fetch looked.
            since = time.monotonic() - self._fetched_at
            return await self.app.job_manager.seconds_until_due(self.queues, since=since)
        except ConnectorException:
            return None  # There is the poll.

    def _batch_sizes(self) -> dict[str, int]:
        batches = ((name, batch_of(task)) for name, task in self.app.tasks.items())
        return {name: batch.max_size for name, batch in batches if batch and batch.max_size > 1}

    async def _write(self, rows: Mapping[int, JSONDict]) -> dict[int, str]:
        return await self.app.job_manager.finish_attempts(self.worker_id, self.label, rows)

    async def owned(self, jobs: list[FetchedJob]) -> set[int]:
        """Return the ids of those jobs that are still this worker's, waiting for the database."""
        backoff = Backoff("Lost transactions cannot be looked up", "They can be looked up again")
        while True:
            try:
                owned = await self.app.job_manager.owned_jobs(self.worker_id, jobs)
            except ConnectorException as error:
                await asyncio.sleep(backoff.after(error))
            else:
                backoff.succeeded()
                return owned

    def context_of(self, attempt: Attempt) -> JobContext:
        """Return the context of an attempt, as tasks and middleware know it."""
        return JobContext(
            app=self.app,
            worker_name=self.worker_name,
            worker_queues=self.queues,
            additional_context=dict(self.additional_context or {}),
            job=attempt.job,
            abort_reason=partial(self.abort_reason_of, attempt),
            start_timestamp=attempt.started_at,
        )

    def abort_reason_of(self, attempt: Attempt) -> AbortReason | None:
        """Return why an attempt is to be aborted, if it is."""
        return self._job_ids_to_abort.get(attempt.job.id)

    def middlewares_of(self, task: Task[..., Any, ...], *, is_async: bool) -> list[TaskMiddleware]:
        """Return the middleware around a task, outermost first."""
        return self._resolve_task_middlewares(task, is_async)

    def _abort_job(
        self, process_job_task: asyncio.Task[Any], context: JobContext, reason: AbortReason
    ) -> None:
        super()._abort_job(process_job_task, context, reason)
        if reason is AbortReason.SHUTDOWN:
            for attempt in self._batches.get(process_job_task, []):
                self._job_ids_to_abort.setdefault(attempt.job.id, reason)

    def _handle_abort_jobs_requested(self, job_ids: Iterable[int]) -> None:
        super()._handle_abort_jobs_requested(job_ids)
        wanted = set(job_ids)
        for attempts in self._batches.values():
            for attempt in attempts:
                if attempt.job.id in wanted:
                    self._job_ids_to_abort.setdefault(attempt.job.id, AbortReason.USER_REQUEST)
