"""Producers and workers beside people, who all do whatever comes to mind; a model follows them."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.manager import JobManager as StockJobManager

from joblogs.models import Job, JobLog, JobQueue
from tests.engine.manager import job_ids, manager
from tests.engine.model import MOST_DEATHS, NOW, PAST, Fetched, ModelJob, Retry, row_of
from tests.engine.people import People
from tests.engine.strategies import deferred_jobs, retries, some_queues
from tests.engine.tables import job_rows, log_rows
from tests.sql import execute

if TYPE_CHECKING:
    from procrastinate.jobs import Job as DeferredJob

WORKERS = 2

numbers = st.integers(0, WORKERS - 1)


class Fleet(People):
    """Producers, workers and people at one database, and a model of it."""

    def __init__(self) -> None:
        super().__init__()
        JobLog.objects.all().delete()
        JobQueue.objects.all().delete()
        execute("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE")
        self.workers = [self._new_worker() for _ in range(WORKERS)]

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
    )
    def end(
        self,
        data: st.DataObject,
        how: str,
        outcome: str,
        delete: bool,
        retry: Retry | None,
    ) -> None:
        """End attempts: running ones, and some that are another worker's or have been ended."""
        running, taken_away = self.model.with_status("doing"), self._taken_away()
        if how == "rescue" and running:
            job = data.draw(st.sampled_from(running), "its job")
            self._lose(job.id, job.worker)
        elif how == "too late" and taken_away:
            # Somebody, perhaps the same worker, runs the job again by now.
            attempt = data.draw(st.sampled_from(taken_away), "the attempt")
            if delete:
                self._lose(attempt.job, attempt.worker)
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

    def _lose(self, job_id: int, worker: int | None) -> None:
        """Give back a job of a worker's (of nobody's, when None), if it is running there."""
        verdicts = execute(
            "SELECT job, verdict FROM joblogs_lose_jobs_v1(%s, 'it', ARRAY[%s::bigint], %s)",
            *(worker, job_id, MOST_DEATHS),
        )
        job = self.model.jobs[job_id]
        is_its = (job.status, job.worker) == ("doing", worker)
        refused = self.model.lose(job) if is_its else ""
        assert verdicts == ([(job_id, refused)] if refused else [])

    @precondition(lambda self: self.model.with_status("doing"))
    @rule(number=numbers, data=st.data())
    def rescue(self, number: int, data: st.DataObject) -> None:
        """Give back the jobs of a silent worker, and of nobody; it may come back to end them."""
        worker = self.workers[number]
        seen = data.draw(st.lists(st.sampled_from(self.fetched), max_size=4), "orphans, or once so")
        attempts = {each.job: each.attempts for each in seen}
        running = sorted(self.model.with_status("doing"), key=lambda job: job.id)
        its = [job for job in running if job.worker == worker]
        orphans = [
            job for job in running if job.worker is None and attempts.get(job.id) == job.attempts
        ]
        execute(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 day'"
            " WHERE id = %s",
            worker,
        )
        rescued = execute(
            "SELECT worker, jobs, ended"
            "  FROM joblogs_rescue_jobs_v1(3600, %s, %s::bigint[], %s::integer[], 1000)",
            *(MOST_DEATHS, list(attempts), list(attempts.values())),
        )
        for job in [*its, *orphans]:
            self.model.lose(job)
        given_back = [(f"worker {worker}", its), *([(None, orphans)] if orphans else [])]
        assert [(whose, number, set(ended)) for whose, number, ended in rescued] == [
            (whose, len(jobs), {job.id for job in jobs if job.status != "todo"})
            for whose, jobs in given_back
        ]
        self._replace(number)

    @precondition(lambda self: self.model.with_status("doing"))
    @rule(number=numbers)
    def lose_a_worker(self, number: int) -> None:
        """Forget a worker that is silent, as others do; it may come back to end its jobs."""
        async_to_sync(manager().unregister_worker)(self.workers[number])
        self._replace(number)

    def _replace(self, number: int) -> None:
        self.model.forget(self.workers[number])
        self.workers[number] = self._new_worker()

    @invariant()
    def the_next_job_is_due_when_the_model_says(self) -> None:
        for queues in (None, ["low", "high"]):
            seconds = async_to_sync(manager().seconds_until_due)(queues)
            due = self.model.next_due(queues)
            in_seconds = due and pytest.approx((due - NOW).total_seconds(), abs=3_600)
            assert seconds == in_seconds

    @invariant()
    def the_tables_are_as_the_model(self) -> None:
        assert job_rows() == sorted(job.row for job in self.model.jobs.values())
        assert log_rows() == sorted(self.model.logs)

    def teardown(self) -> None:
        """Work off what is left: nothing stays behind."""
        if sys.exc_info()[0]:
            return  # The model is wrong already, and that is what is to be reported.
        for queue in list(self.model.paused):
            self.pause_or_resume(queue)
        for job in self.model.with_status("doing"):
            self._lose(job.id, job.worker)
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
