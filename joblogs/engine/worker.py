"""The worker behind `manage.py procrastinate worker`."""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connections
from procrastinate import utils
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.worker import Worker as StockWorker

from joblogs.engine import execution
from joblogs.engine.attempt import Attempt
from joblogs.engine.beside import SideTasks
from joblogs.engine.connectors import WorkerConnector
from joblogs.engine.draining import drain
from joblogs.engine.fetcher import Fetcher
from joblogs.engine.finisher import Finisher
from joblogs.engine.lost_answers import LostAnswers
from joblogs.engine.ownership import Ownership
from joblogs.engine.presence import DRAINING, QUIET, RUNNING, Presence
from joblogs.engine.stopping import leave_process, on_signals
from joblogs.engine.threads import JobThreads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procrastinate.middleware import TaskMiddleware
    from procrastinate.tasks import Task

    from joblogs.engine.app import EngineApp
    from joblogs.engine.fetched import FetchedJob

# Seconds in which the thread of asynchronous tasks has to end what they left in it.
GOODBYE = 2.0


class Worker(StockWorker):
    """Fetches as many starts as it has slots free, and acknowledges jobs together.

    A slot is taken by one job, or by one batch of a batch task, until it is acknowledged.
    """

    app: EngineApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: What logs call this worker.
        self.label = f"{socket.gethostname()}:{os.getpid()}"
        #: What it does: running, quiet or draining.
        self.state = RUNNING
        #: Whether jobs went on in its threads when it ended.
        self.left_behind = False
        self._starts: dict[asyncio.Task[None], list[Attempt]] = {}
        self._slot_freed = asyncio.Event()
        self._leave_event = asyncio.Event()

    @property
    def connector(self) -> WorkerConnector:
        """What it reaches the database with."""
        connector = self.app.connector
        if not isinstance(connector, WorkerConnector):
            raise TypeError(f"A worker needs a WorkerConnector, not {type(connector).__name__}.")
        return connector

    # Its life

    async def run(self) -> None:
        """Work until asked to stop, or until there is nothing left when it is not to wait."""
        self._stop_event.clear()
        self._leave_event.clear()
        self.state = RUNNING
        self.left_behind = False
        self.run_task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        life = asyncio.create_task(self._live(), name="worker")
        try:
            # Whoever cancels this asks for a stop, too.
            await asyncio.shield(life)
        except asyncio.CancelledError:
            self.stop()  # type: ignore[no-untyped-call]  # Procrastinate leaves it untyped
            await life
            raise
        finally:
            self._loop = None
        if self.left_behind:
            leave_process(self)

    async def _live(self) -> None:
        connector = self.connector
        self.threads = JobThreads(self.concurrency)
        self.presence = Presence(self, connector, self.stalled_worker_timeout)
        self.ownership = Ownership(self, connector.contact)
        self.finisher = Finisher(self.ownership.end, self.delete_jobs, connector.contact)
        self.lost_answers = LostAnswers(connector)
        self._fetcher = Fetcher(self, self._new_job_event, self._slot_freed)
        connector.on_listening = self.look_for_jobs
        connector.on_lock = self.presence.tell
        self._stopping = asyncio.create_task(self._note_stop(), name="note the stop")
        with on_signals(self), self.lost_answers.watching():
            try:
                self.worker_id = await self.presence.enter(self._stop_event)
                if self.worker_id is not None:
                    await self._work(self.worker_id)
            finally:
                self._stopping.cancel()
                await self._close()
        self.logger.info("Stopped worker on %s", utils.queues_display(self.queues))

    async def _work(self, worker_id: int) -> None:
        self.logger.info("Starting worker on %s", utils.queues_display(self.queues))
        beside = SideTasks(self.connector.contact)
        beside.add("The heartbeat", self.presence.keep_beating)
        beside.add("The look for jobs to abort", self._poll_jobs_to_abort)
        beside.add("The look for lost answers", self.lost_answers.keep_looking)
        beside.add("The look for lost jobs", self._fetcher.keep_looking)
        if self.listen_notify:
            beside.add("Listening", self._listen)
            beside.add("Holding the lock", partial(self.connector.hold_lock, worker_id))
        deferrer = beside.add("The deferrer of periodic tasks", self._periodic_deferrer)
        try:
            await self._fetcher.run(self._stopping)
        finally:
            self._stop_event.set()
            deferrer.cancel()
            await drain(self, self._leave_event)
            if not await self._fetcher.end():
                self.left_behind = True
            await beside.end()
            await self.presence.leave()
            self.worker_id = None

    async def _close(self) -> None:
        """Close the connections of all threads, unless some are busy for good."""
        if self.left_behind:
            return
        self.threads.close()
        try:
            async with asyncio.timeout(GOODBYE):
                # Those of asynchronous tasks, which all use one thread.
                await sync_to_async(connections.close_all)()
        except TimeoutError:
            self.left_behind = True

    async def _listen(self) -> None:
        await self.app.job_manager.listen_for_jobs(
            on_notification=self._handle_notification, queues=self.queues
        )

    async def _poll_jobs_to_abort(self) -> None:
        while True:
            await asyncio.sleep(self.abort_job_polling_interval)
            if self._running_jobs:
                await self.look_for_jobs_to_abort()

    # Being asked for something

    @property
    def is_stopping(self) -> bool:
        return self._stop_event.is_set()

    @property
    def free_slots(self) -> int:
        return self.concurrency - len(self._starts)

    @property
    def takes_jobs(self) -> bool:
        return self.state == RUNNING and not self.is_stopping

    def leave(self) -> None:
        """Do not wait for the jobs that run; only after `stop`."""
        self._leave_event.set()

    def be_quiet(self) -> None:
        """Take nothing new, and stay."""
        self._enter(QUIET, "quiet: taking no more jobs, until told to go on or to stop")

    def go_on(self) -> None:
        """Take jobs again."""
        self._enter(RUNNING, "taking jobs again")
        self.look_for_jobs()

    def look_for_jobs(self) -> None:
        """Fetch without waiting for a notice or the next poll."""
        self._new_job_event.set()

    def _enter(self, state: str, saying: str) -> None:
        if self.state != state and not self.is_stopping:
            self.logger.info("Worker %s", saying)
            self.state = state
            self._slot_freed.set()
            self.presence.tell()

    async def _note_stop(self) -> None:
        await self._stop_event.wait()
        self.state = DRAINING
        self._slot_freed.set()
        self.presence.tell()

    # Running jobs

    def start(self, starts: list[list[FetchedJob]]) -> None:
        """Run jobs that were fetched."""
        for jobs in starts:
            self._start(jobs)

    def _start(self, jobs: list[FetchedJob]) -> None:
        attempts = [Attempt(job) for job in jobs]
        task = asyncio.create_task(
            execution.run(self, attempts), name=f"run {jobs[0].task_name}[{jobs[0].id}]"
        )
        self._running_jobs[task] = self.context_of(attempts[0])
        self._starts[task] = attempts
        task.add_done_callback(self._free_slot)

    def _free_slot(self, task: asyncio.Task[None]) -> None:
        del self._running_jobs[task]
        attempts = self._starts.pop(task)
        for attempt in attempts:
            self._job_ids_to_abort.pop(attempt.job.id, None)
        if any(attempt.job.lock for attempt in attempts):
            # Somebody may have waited for the lock.
            self._new_job_event.set()
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()):
            self.logger.error("Running a job failed in an unforeseen way.", exc_info=error)

    # What those who run its jobs ask of it

    def starts_in_hand(self) -> list[asyncio.Task[None]]:
        """Return what runs and has not been acknowledged: a slot each."""
        return list(self._starts)

    def jobs_in_hand(self) -> list[FetchedJob]:
        """Return the jobs that have been started and not acknowledged."""
        return [attempt.job for attempt in self.attempts_in_hand()]

    def attempts_in_hand(self) -> list[Attempt]:
        """Return the attempts that have been started and not acknowledged."""
        return [attempt for attempts in self._starts.values() for attempt in attempts]

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

    async def look_for_jobs_to_abort(self) -> None:
        """Abort the running jobs for which somebody has asked that."""
        self._handle_abort_jobs_requested(await self.app.job_manager.list_jobs_to_abort_async())

    def abort_all(self) -> None:
        """Ask all jobs that run to end, as the worker stops; coroutines are cancelled."""
        by_users = dict(self._job_ids_to_abort)
        for task, context in list(self._running_jobs.items()):
            self._abort_job(task, context, AbortReason.SHUTDOWN)
            for attempt in self._starts[task]:
                self._job_ids_to_abort[attempt.job.id] = AbortReason.SHUTDOWN
        self._job_ids_to_abort |= by_users

    def _handle_abort_jobs_requested(self, job_ids: Iterable[int]) -> None:
        super()._handle_abort_jobs_requested(job_ids)
        wanted = set(job_ids)
        for attempt in self.attempts_in_hand():
            if attempt.job.id in wanted:
                self._job_ids_to_abort.setdefault(attempt.job.id, AbortReason.USER_REQUEST)
