"""Each attempt leaves one row in job_logs, with all there is to know and no secret."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from procrastinate import RetryStrategy
from procrastinate.exceptions import JobAborted

from joblogs.engine.immediate import run_now
from joblogs.models import Job, JobLog
from joblogs.redaction import MASK
from tests.jobs import outcomes
from tests.sql import elsewhere
from tests.workers import SOON, give_to_a_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from procrastinate import JobContext

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "hunter2"


def test_an_attempt_is_on_record_with_all_there_is_to_know(
    task: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    async def nap() -> dict[str, Any]:
        await asyncio.sleep(0.2)
        return {"slept": 0.2, "well": None}

    before = timezone.now()
    pk = task(nap, queue="beds").defer()
    run_jobs()
    log = JobLog.objects.get()
    assert (log.job_id, log.attempt, log.task_name, log.queue_name) == (pk, 1, "tests.nap", "beds")
    assert log.worker == f"{socket.gethostname()}:{os.getpid()}"
    assert before <= log.started_at <= log.finished_at <= timezone.now()
    assert timedelta(seconds=0.2) <= log.finished_at - log.started_at < timedelta(seconds=2)
    assert (log.outcome, log.result) == ("succeeded", {"slept": 0.2, "well": None})
    assert (log.error_class, log.error_message, log.traceback) == ("", "", "")


def test_retries_leave_a_row_per_attempt(
    task: Callable[..., Any], run_jobs: Callable[..., None]
) -> None:
    def fail(context: JobContext) -> None:
        if context.job.attempts < 2:
            raise ValueError(f"failure {context.job.attempts}")

    pk = task(fail, pass_context=True, retry=RetryStrategy(max_attempts=5)).defer()
    for _ in range(3):
        run_jobs()
    assert outcomes(pk) == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    first, second, last = JobLog.objects.order_by("attempt")
    assert (first.error_class, first.error_message) == ("ValueError", "failure 0")
    assert second.error_message == "failure 1"
    assert 'raise ValueError(f"failure {context.job.attempts}")' in second.traceback
    assert first.finished_at <= second.started_at <= second.finished_at <= last.started_at
    assert Job.objects.get(pk=pk).attempts == 3


def test_what_is_long_is_shortened(
    task: Callable[..., Any], run_jobs: Callable[..., None], lines: Callable[..., list[str]]
) -> None:
    def tell(*, fails: bool) -> list[str]:
        if fails:
            raise ValueError("the beginning" + "x" * 100_000 + "the end")
        return ["the beginning", "x" * 100_000]

    telling = task(tell)
    failing, telling_all = telling.defer(fails=True), telling.defer(fails=False)
    run_jobs()
    log = JobLog.objects.get(job_id=failing)
    assert len(log.error_message) < 2_100
    assert len(log.traceback) < 20_100
    for text in (log.error_message, log.traceback):
        assert "characters left out" in text
        assert text.rstrip().endswith("the end")
    result = JobLog.objects.get(job_id=telling_all).result
    assert isinstance(result, str)
    assert result.startswith('["the beginning"')
    assert len(result) <= 10_001
    assert all(len(line) < 2_000 for line in lines("tests.tell"))


@pytest.mark.parametrize("outcome", ["error", "cause", "result", "result by name"])
def test_no_secret_among_the_arguments_is_on_record(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    lines: Callable[..., list[str]],
    outcome: str,
) -> None:
    def log_in(*, user_id: int, password: str, inner: dict[str, list[str]]) -> Any:
        told = f"user {user_id}: {password} {inner['token'][0]}"
        match outcome:
            case "error":
                raise ValueError(told)
            case "cause":
                raise KeyError("a cause") from ValueError(told)
            case "result":
                return {"told": told}
        return {"password": password, "api_key": inner["token"]}

    job = task(log_in).defer(user_id=7, password=SECRET, inner={"token": [f"{SECRET}-and-more"]})
    run_jobs()
    log = JobLog.objects.get(job_id=job)
    told = "".join([log.error_message, log.traceback, str(log.result), *lines("tests.log_in")])
    assert SECRET not in told
    assert "and-more" not in told
    assert MASK in (log.traceback or str(log.result))


def test_which_arguments_are_secret_is_a_setting(
    task: Callable[..., Any], run_jobs: Callable[..., None], settings: Any
) -> None:
    settings.JOBLOGS_REDACTED_ARGUMENTS = ["iban"]

    def pay(*, iban: str, password: str) -> None:
        raise ValueError(f"{iban} {password}")

    task(pay).defer(iban="DE0001", password=SECRET)
    run_jobs()
    assert JobLog.objects.get().error_message == f"{MASK} {SECRET}"


@pytest.mark.parametrize("condition", ["always", "successful", "never"])
def test_logs_outlive_jobs_that_are_deleted(
    task: Callable[..., Any], run_jobs: Callable[..., None], condition: str
) -> None:
    def work(*, good: bool) -> None:
        if not good:
            raise ValueError

    working = task(work)
    good, bad = working.defer(good=True), working.defer(good=False)
    run_jobs(delete_jobs=condition)
    left = {"always": set(), "successful": {bad}, "never": {good, bad}}[condition]
    assert set(Job.objects.values_list("pk", flat=True)) == left
    assert (outcomes(good), outcomes(bad)) == ([(1, "succeeded")], [(1, "failed")])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_job_that_is_aborted_is_on_record_as_aborted(
    task: Callable[..., Any], run_worker: Callable[..., None], is_async: bool
) -> None:
    def ask(context: JobContext) -> None:
        query = "UPDATE procrastinate_jobs SET abort_requested = true WHERE id = %s"
        elsewhere(query, context.job.id)

    def work(context: JobContext) -> None:
        ask(context)
        while not context.should_abort():
            pass
        raise JobAborted

    async def work_async(context: JobContext) -> None:
        await asyncio.to_thread(ask, context)
        await asyncio.sleep(60)

    function = work_async if is_async else work
    pk = task(function, pass_context=True, retry=True).defer()
    run_worker(until=lambda: outcomes(pk))
    assert outcomes(pk) == [(1, "aborted")]
    job = Job.objects.get(pk=pk)
    assert (job.status, job.attempts, job.abort_requested) == ("aborted", 1, False)
    assert JobLog.objects.get().error_class.endswith("CancelledError" if is_async else "JobAborted")


def test_an_attempt_whose_worker_died_is_on_record_as_lost(
    task: Callable[..., Any], run_worker: Callable[..., None]
) -> None:
    def work() -> None: ...

    pk = task(work, queue="beds").defer()
    worker = give_to_a_worker(pk)
    elsewhere("UPDATE procrastinate_events SET at = at - interval '1 minute'")
    run_worker(until=lambda: len(outcomes(pk)) == 2, **SOON)
    assert outcomes(pk) == [(1, "lost"), (2, "succeeded")]
    lost = JobLog.objects.get(outcome="lost")
    assert (lost.worker, lost.task_name, lost.queue_name) == (
        f"worker {worker}",
        "tests.work",
        "beds",
    )
    assert (lost.error_class, lost.error_message) == (
        "joblogs.WorkerDied",
        "Its worker died while it was running.",
    )
    assert timedelta(seconds=59) < lost.finished_at - lost.started_at < timedelta(seconds=90)
    assert Job.objects.get(pk=pk).attempts == 2


NASTY = "a\0b\ud800c\udfff"
TAME = "a\N{REPLACEMENT CHARACTER}b?c?"


@pytest.mark.parametrize("kind", ["result", "key", "error"])
def test_what_postgresql_cannot_hold_is_replaced(
    task: Callable[..., Any], run_jobs: Callable[..., None], kind: str
) -> None:
    def work() -> Any:
        match kind:
            case "result":
                return [NASTY, "\\u0000"]
            case "key":
                return {NASTY: 1}
        raise ValueError(NASTY)

    pk = task(work).defer()
    run_jobs()
    log = JobLog.objects.get(job_id=pk)
    if kind == "error":
        assert (log.outcome, log.error_message) == ("failed", TAME)
        assert TAME in log.traceback
    else:
        assert log.outcome == "succeeded"
        assert log.result == ([TAME, "\\u0000"] if kind == "result" else {TAME: 1})


def test_what_runs_without_a_job_is_not_on_record(task: Callable[..., Any]) -> None:
    assert run_now(task(lambda: 1)) == 1
    assert not JobLog.objects.exists()


def test_a_traceback_begins_with_the_task(
    task: Callable[..., Any], run_jobs: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("the printer is on fire")

    pk = task(fail).defer()
    run_jobs()
    told = JobLog.objects.get(job_id=pk).traceback.splitlines()
    assert told[0] == "Traceback (most recent call last):"
    assert told[1].endswith("in fail")
    assert told[-1] == "ValueError: the printer is on fire"
    assert "asgiref" not in caplog.text


def test_a_job_that_was_to_be_aborted_is_not_said_to_be_retried(
    task: Callable[..., Any],
    run_jobs: Callable[..., None],
    lines: Callable[..., list[str]],
    warnings: Callable[[], list[str]],
) -> None:
    def fail(context: JobContext) -> None:
        # Too late for the worker to hear of it.
        elsewhere(
            "UPDATE procrastinate_jobs SET abort_requested = true WHERE id = %s", context.job.id
        )
        raise ValueError("out of paper")

    pk = task(fail, retry=3, pass_context=True).defer()
    run_jobs()
    job = Job.objects.get(pk=pk)
    assert (job.status, job.attempts, job.abort_requested) == ("failed", 1, False)
    assert job.scheduled_at is None
    [line] = lines("tests.fail")
    assert "retries" not in line
    assert any("does not run again: somebody asked" in warning for warning in warnings())
