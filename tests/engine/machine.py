"""Producers, workers and people who do whatever comes to mind, and a model that follows them."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Job as DeferredJob
from procrastinate.manager import JobManager as StockJobManager

from joblogs import verbs
from joblogs.models import Job, JobLog, JobQueue
from tests.engine.conftest import job_ids, manager
from tests.engine.model import (
    ENDED,
    NOW,
    PAST,
    Fetched,
    Model,
    ModelJob,
    Retry,
    row_of,
)
from tests.engine.strategies import QUEUES, deferred_jobs, retries, some_queues, times

if TYPE_CHECKING:
    from datetime import datetime

WORKERS = 2

numbers = st.integers(0, WORKERS - 1)


class Fleet(RuleBasedStateMachine):
    """Producers, workers and people at one database, and a model of it."""

    def __init__(self) -> None:
        super().__init__()
        JobLog.objects.all().delete()
        JobQueue.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE")
        self.model = Model()
        self.workers = [self._new_worker() for _ in range(WORKERS)]
        #: All that was ever fetched, the latest last.
        self.fetched: list[Fetched] = []

    def _new_worker(self) -> int:
        return async_to_sync(manager().register_worker)()

    @initialize(jobs=st.lists(deferred_jobs, min_size=3, max_size=9))
    def start_with_some(self, jobs: list[DeferredJob]) -> None:
        self.defer(jobs)

    @precondition(lambda self: len(self.model.with_status("todo")) < 10)
    @rule(jobs=st.lists(deferred_jobs, min_size=1, max_size=4))
    def defer(self, jobs: list[DeferredJob]) -> None:
        locks = Counter(job.queueing_lock for job in jobs if job.queueing_lock)
        if any(count > 1 or self.model.is_queued(lock) for lock, count in locks.items()):
            with pytest.raises(AlreadyEnqueued):
                manager().batch_defer_jobs(jobs)
            return
        deferred = manager().batch_defer_jobs(jobs)
        assert [job.id for job in deferred] == sorted({job.id for job in deferred if job.id})
        for job in deferred:
            assert job.id
            self.model.jobs[job.id] = ModelJob(
                job.id,
                job.task_name,
                job.queue,
                job.priority,
                job.lock,
                job.queueing_lock,
                job.scheduled_at,
            )

    @precondition(lambda self: self.model.with_status("todo"))
    @rule(
        number=numbers,
        queues=some_queues,
        starts=st.integers(1, 5),
        size=st.sampled_from([0, 1, 2, 3]),
        as_stock=st.sampled_from([False, False, False, True]),
    )
    def fetch(
        self, number: int, queues: list[str] | None, starts: int, size: int, as_stock: bool
    ) -> None:
        worker, sizes = self.workers[number], {"mail": size} if size else {}
        if as_stock:
            self._fetch_as_stock_workers_do(worker, queues)
        else:
            self._fetch(worker, queues, starts, sizes)

    def _fetch(
        self, worker: int, queues: list[str] | None, starts: int, sizes: dict[str, int]
    ) -> None:
        found = async_to_sync(manager().fetch_jobs)(
            queues, worker, starts=starts, batch_sizes=sizes
        )
        assert job_ids(found) == self.model.fetch(worker, queues, starts, sizes)
        for job in (job for jobs in found for job in jobs):
            known = self.model.jobs[job.id]
            assert (job.attempts, job.lock) == (known.attempts, known.lock)
            self._note_fetched(known)

    def _fetch_as_stock_workers_do(self, worker: int, queues: list[str] | None) -> None:
        fetched = async_to_sync(StockJobManager(manager().connector).fetch_job)(queues, worker)
        # They do not know that queues can be paused.
        first = next(iter(self.model.startable(queues, paused=set())), None)
        assert (fetched and fetched.id) == (first and first.id)
        if first:
            first.status, first.worker = "doing", worker
            self._note_fetched(first)

    def _note_fetched(self, job: ModelJob) -> None:
        assert job.worker
        started_at = NOW.timestamp() + len(self.fetched)
        self.fetched.append(
            Fetched(job.id, job.attempts, job.worker, started_at, job.task, job.queue)
        )

    @precondition(lambda self: self.fetched)
    @rule(
        data=st.data(),
        how=st.sampled_from(["finish", "finish", "finish", "rescue", "too late", "too late"]),
        outcome=st.sampled_from(["succeeded", "failed", "aborted"]),
        delete=st.sampled_from([False, False, True]),
        retry=st.none() | retries,
        at=times,
    )
    def end(
        self,
        data: st.DataObject,
        how: str,
        outcome: str,
        delete: bool,
        retry: Retry | None,
        at: datetime,
    ) -> None:
        """End attempts: running ones, and some that are another worker's or have been ended."""
        running, taken_away = self.model.with_status("doing"), self._taken_away()
        if how == "rescue" and running:
            job = data.draw(st.sampled_from(running), "its job")
            self._rescue(job.id, job.attempts, job.worker, at)
        elif how == "too late" and taken_away:
            # Somebody, perhaps the same worker, runs the job again by now.
            attempt = data.draw(st.sampled_from(taken_away), "the attempt")
            if delete:
                self._rescue(attempt.job, attempt.attempts, attempt.worker, at)
            else:
                self._finish(attempt.worker, [attempt], outcome, False, retry)
        else:
            first = data.draw(st.sampled_from(self.fetched[-9:]), "one of them")
            more = data.draw(st.lists(st.sampled_from(self.fetched), max_size=5), "more")
            attempts = {each.job: each for each in [*more, first]}
            self._finish(first.worker, [*attempts.values()], outcome, delete, retry)

    def _taken_away(self) -> list[Fetched]:
        running = {job.id for job in self.model.with_status("doing")}
        return [
            each
            for each in self.fetched
            if each.job in running and not self.model.is_owned(each, each.worker)
        ]

    def _finish(
        self,
        worker: int,
        attempts: list[Fetched],
        outcome: str = "succeeded",
        delete: bool = False,
        retry: Retry | None = None,
    ) -> None:
        rows = {}
        for each in attempts:
            row = row_of(each.attempts, each.task, each.queue, outcome, delete=delete)
            row["started_at"] = each.started_at
            if retry:
                row |= {"status": "todo", "retry_at": retry.at.timestamp(), "lock": retry.lock}
                row |= {"priority": retry.priority, "to_queue": retry.queue}
            rows[each.job] = row
        verdicts = async_to_sync(manager().finish_attempts)(worker, "it", rows)
        expected = self.model.finish(worker, attempts, outcome, delete=delete, retry=retry)
        assert verdicts == expected

    @precondition(lambda self: self.model.with_status("doing"))
    @rule(number=numbers)
    def lose_a_worker(self, number: int) -> None:
        """Forget a worker that is silent, as others do; it may come back to end its jobs."""
        async_to_sync(manager().unregister_worker)(self.workers[number])
        for job in self.model.jobs.values():
            if job.worker == self.workers[number]:
                job.worker = None
        self.workers[number] = self._new_worker()

    def _rescue(self, job_id: int, attempts: int, worker: int | None, at: datetime) -> None:
        stalled = DeferredJob(
            id=job_id,
            attempts=attempts,
            worker_id=worker,
            task_name="one",
            queue="default",
            lock=None,
            queueing_lock=None,
        )
        async_to_sync(manager().retry_job)(stalled, retry_at=at)
        job = self.model.jobs[job_id]
        if (job.status, job.worker, job.attempts) == ("doing", worker, attempts):
            self.model.give_back(job, Retry(at), "lost")

    @precondition(lambda self: self.fetched)
    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        if queue in self.model.paused:
            JobQueue.objects.resume(queue)
        else:
            JobQueue.objects.pause(queue)
        self.model.paused ^= {queue}

    @precondition(lambda self: self.fetched and self.model.jobs)
    @rule(
        data=st.data(),
        verb=st.sampled_from(["cancel", "abort", "abort", "run_now", "delete", "retry"]),
    )
    def use_a_verb(self, data: st.DataObject, verb: str) -> None:
        fitting = self.model.with_status(*verbs.VERBS[verb].states)
        job = data.draw(st.sampled_from(fitting or list(self.model.jobs.values())), "a job")
        chosen = Job.objects.filter(pk=job.id)
        if verb == "cancel":
            chosen.cancel()
            if job.status == "todo":
                job.status = "cancelled"
        elif verb == "abort":
            chosen.abort()
            if job.status == "doing":
                job.abort_requested = True
        elif verb == "run_now":
            chosen.run_now()
            if job.status == "todo" and not job.is_due:
                job.scheduled_at = PAST
        elif verb == "delete":
            chosen.delete_ended()
            if job.status in ENDED:
                del self.model.jobs[job.id]
        else:
            chosen.retry()
            retriable = job.status in {"failed", "cancelled", "aborted"}
            if retriable and not self.model.is_queued(job.queueing_lock):
                job.status, job.scheduled_at = "todo", PAST
                job.worker, job.abort_requested = None, False

    @precondition(lambda self: self.model.with_status("doing", "failed"))
    @rule(data=st.data())
    def retry_as_stock_does(self, data: st.DataObject) -> None:
        """Give back or retry a job whoever has it, and leave the worker in its row."""
        job = data.draw(st.sampled_from(self.model.with_status("doing", "failed")), "a job")
        if self.model.is_queued(job.queueing_lock):
            return
        stock = StockJobManager(manager().connector)
        if job.status == "doing" and job.abort_requested:
            stock.retry_job_by_id(job.id, retry_at=PAST)
            job.status = "failed"
        elif not job.abort_requested:
            stock.retry_job_by_id(job.id, retry_at=PAST)
            job.status, job.scheduled_at = "todo", PAST
            job.attempts += 1

    @invariant()
    def the_next_job_is_due_when_the_model_says(self) -> None:
        for queues in (None, ["low", "high"]):
            seconds = async_to_sync(manager().seconds_until_due)(queues)
            due = self.model.next_due(queues)
            in_seconds = due and pytest.approx((due - NOW).total_seconds(), abs=3_600)
            assert seconds == in_seconds

    @invariant()
    def the_tables_are_as_the_model(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT id, task_name, queue_name, priority, lock, queueing_lock,
                       -- A verb makes jobs due at a time of its own.
                       CASE
                           WHEN scheduled_at BETWEEN %(now)s - interval '1 hour' AND now()
                           THEN %(past)s
                           ELSE scheduled_at
                       END,
                       status::text, attempts, worker_id, abort_requested
                  FROM procrastinate_jobs
                """,
                {"now": NOW, "past": PAST},
            )
            rows = cursor.fetchall()
        assert sorted(rows) == sorted(job.row for job in self.model.jobs.values())
        logs = JobLog.objects.values_list("job_id", "attempt", "outcome")
        assert sorted(logs) == sorted(self.model.logs)

    def teardown(self) -> None:
        """Work off what is left: nothing stays behind."""
        if sys.exc_info()[0]:
            return  # The model is wrong already, and that is what is to be reported.
        for queue in list(self.model.paused):
            self.pause_or_resume(queue)
        for job in self.model.with_status("doing"):
            self._rescue(job.id, job.attempts, job.worker, PAST)
        Job.objects.all().run_now()
        for job in self.model.with_status("todo"):
            job.scheduled_at = job.scheduled_at and PAST
        while left := self.model.with_status("todo"):
            before = len(self.fetched)
            self._fetch(self.workers[0], None, 5, {"mail": 3})
            assert len(self.fetched) > before, left
            self._finish(self.workers[0], self.fetched[before:])
        self.the_tables_are_as_the_model()
        assert not self.model.with_status("doing")
