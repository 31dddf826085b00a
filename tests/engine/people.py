"""People who do to jobs whatever comes to mind, and a model that follows them."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from procrastinate.manager import JobManager as StockJobManager

from joblogs import verbs
from joblogs.models import Job, JobQueue
from tests.engine.manager import manager
from tests.engine.model import ENDED, PAST, Fetched, Model
from tests.engine.strategies import QUEUES


class People(RuleBasedStateMachine):
    """What people do, beside the workers that somebody adds to it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        #: All that was ever fetched, the latest last.
        self.fetched: list[Fetched] = []

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
