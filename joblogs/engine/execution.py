"""How a start is run: one job, or one batch of jobs; and how it ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.utils import timezone
from procrastinate import RetryDecision, middleware
from procrastinate.exceptions import JobAborted, TaskNotFound
from procrastinate.job_context import AbortReason

from joblogs.engine.attempt import Attempt
from joblogs.engine.batch import BatchJob, batch_of, is_transactional
from joblogs.engine.transaction import (
    ConnectionLostError,
    NotConnectedError,
    NotOwnedError,
    commit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procrastinate.tasks import Task
    from procrastinate.types import JSONDict

    from joblogs.engine.batch import Batch
    from joblogs.engine.worker import Worker

    AnyTask = Task[..., Any, ...]

logger = logging.getLogger(__name__)

# How often a transaction is tried whose connection breaks.
TRIES = 3
# Seconds between tries to connect, spread by chance.
PAUSE = (0.5, 1.5)

WHY_NOT = {
    "has a twin": "a job with its queueing lock {lock!r} is queued",
    "to be aborted": "somebody asked for it to be aborted",
}


class WorkerStoppedError(JobAborted):
    """The worker was asked to stop before the job was done; it runs again."""

    def __init__(self) -> None:
        super().__init__("The worker stopped before it was done.")


class UnreadableArgumentsError(Exception):
    """Somebody wrote something into a job's row that is no set of arguments."""


async def run(worker: Worker, attempts: list[Attempt]) -> None:
    """Run what was fetched as one start, to the end of all its jobs."""
    name = attempts[0].job.task_name
    task = worker.app.tasks.get(name)
    good = []
    for attempt in attempts:
        if task is None:
            await _end(worker, task, attempt, TaskNotFound(f"No task is named {name!r}."))
        elif attempt.job.unreadable:
            error = UnreadableArgumentsError(attempt.job.unreadable)
            await _end(worker, task, attempt, error)
        else:
            good.append(attempt)
    if not task or not good:
        return
    if batch := batch_of(task):
        await _run_batch(worker, task, batch, good)
    else:
        await _run_job(worker, task, good[0])


async def _run_job(worker: Worker, task: AnyTask, attempt: Attempt) -> None:
    try:
        arguments = [worker.context_of(attempt)] if task.pass_context else []
        function = partial(task, *arguments, **attempt.job.task_kwargs)
        if is_transactional(task):

            def work(_: Sequence[Attempt]) -> None:
                attempt.succeed(function())

            await _run_in_transaction(worker, task, [attempt], work)
            return
        attempt.succeed(await _call(worker, task, attempt, function))
    except BaseException as error:  # noqa: BLE001  # of somebody else's code, which ends the job
        await _end(worker, task, attempt, error)
    else:
        await _end(worker, task, attempt)


async def _run_batch(worker: Worker, task: AnyTask, batch: Batch, attempts: list[Attempt]) -> None:
    def work(some: Sequence[Attempt]) -> None:
        jobs = [
            BatchJob(
                attempt.job.id,
                attempt.job.task_kwargs,
                attempt.job.attempts + 1,
                partial(worker.context_of, attempt),
            )
            for attempt in some
        ]
        batch.function(jobs)
        for attempt, job in zip(some, jobs, strict=True):
            attempt.succeed(job.result)

    try:
        await _run_in_transaction(worker, task, attempts, work)
    except BaseException as error:  # noqa: BLE001  # as above
        if len(attempts) == 1 or worker.left_behind:
            await _end(worker, task, attempts[0], error)
            return
        logger.warning(
            "A batch of %d jobs of %s failed with %s: %s.",
            len(attempts),
            task.name,
            type(error).__name__,
            "giving them back" if worker.is_stopping else "running them one by one",
        )
        for attempt in attempts:
            if worker.is_stopping:
                await _acknowledge(worker, interrupted(worker, attempt))
                continue
            attempt.started_at = time.time()
            await _run_batch(worker, task, batch, [attempt])


async def _run_in_transaction(
    worker: Worker,
    task: AnyTask,
    attempts: list[Attempt],
    work: Callable[[Sequence[Attempt]], None],
) -> None:
    """Do the work of these attempts in a transaction that ends them, and log each.

    Those that the worker does not own are left out. Raises what the work raises; the attempts are
    as before then.
    """
    left, breaks = attempts, 0
    committed: list[Attempt] = []
    while left:

        def work_and_rows(some: list[Attempt] = left) -> dict[int, JSONDict]:
            work(some)
            return {attempt.job.id: attempt.row(worker.delete_jobs) for attempt in some}

        def do(some: list[Attempt] = left) -> None:
            commit(work_and_rows, worker_id=worker.worker_id, worker=worker.label)
            committed.extend(some)
            for attempt in some:
                attempt.log()

        try:
            await _call(worker, task, left[0], do)
        except NotOwnedError as error:
            doubtful = [each for each in left if each.job.id in error.job_ids]
            owned = await worker.ownership.of([attempt.job for attempt in doubtful])
            lost = [attempt for attempt in doubtful if attempt.job.id not in owned]
            for attempt in lost:
                _say_not_owned(attempt)
            left = [attempt for attempt in left if attempt not in lost]
        except NotConnectedError:
            # No concern of these jobs: they wait for the database.
            await asyncio.sleep(random.uniform(*PAUSE))  # noqa: S311  # spreads waits, no secret
        except ConnectionLostError as error:
            left = await _not_committed(worker, left)
            breaks += 1
            if left and breaks == TRIES:
                raise error.__cause__ or error from None
        except Exception:
            if not committed:
                raise
            logger.exception("A middleware of %s failed after the commit.", task.name)
            return
        else:
            return


async def _not_committed(worker: Worker, attempts: list[Attempt]) -> list[Attempt]:
    """Find out, once the database is back, which attempts the lost transaction has not ended."""
    owned = await worker.ownership.of([attempt.job for attempt in attempts])
    for attempt in attempts:
        if attempt.job.id not in owned:
            await _acknowledge(worker, attempt)
    return [attempt for attempt in attempts if attempt.job.id in owned]


async def _call(
    worker: Worker, task: AnyTask, attempt: Attempt, function: Callable[[], Any]
) -> Any:
    """Call a function with the middleware of a task around it, in a thread unless it is async."""
    is_async = inspect.iscoroutinefunction(task.func)
    context = worker.context_of(attempt)
    middlewares = worker.middlewares_of(task, is_async=is_async)
    wrapped = middleware.compose(middlewares, function, context, worker)

    async def run_it() -> Any:
        if is_async:
            return await wrapped()
        in_thread = sync_to_async(_without_stop, thread_sensitive=False, executor=worker.threads)
        result = await in_thread(wrapped)
        # A plain function may return an awaitable.
        return await result if inspect.isawaitable(result) else result

    return await middleware.compose(worker.worker_middleware, run_it, context, worker)()


def _without_stop(function: Callable[[], Any]) -> Any:
    """Call a function; a StopIteration, which no future can hold, becomes a RuntimeError."""
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError("The task raised StopIteration.") from error


async def _end(
    worker: Worker, task: AnyTask | None, attempt: Attempt, error: BaseException | None = None
) -> None:
    """End an attempt, even while being cancelled, and log it."""
    if error:
        attempt.fail(error, _retry_decision(worker, task, attempt, error))
    ending = asyncio.ensure_future(_acknowledge(worker, attempt))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise


def interrupted(worker: Worker, attempt: Attempt) -> Attempt:
    """Return an attempt as it is when the worker stops before it is done.

    It runs again, unless somebody wanted it aborted.
    """
    is_wanted = worker.abort_reason_of(attempt) is not AbortReason.USER_REQUEST
    ended = Attempt(attempt.job, attempt.started_at)
    ended.fail(WorkerStoppedError(), RetryDecision(retry_at=timezone.now()) if is_wanted else None)
    return ended


async def _acknowledge(worker: Worker, attempt: Attempt) -> None:
    if worker.left_behind:
        return  # It was given back.
    match await worker.finisher.finish(attempt):
        case "finished" | "repeated":
            attempt.log()
        case "has a twin" | "to be aborted" as verdict:
            attempt.retry = None
            attempt.log()
            why = WHY_NOT[verdict].format(lock=attempt.job.queueing_lock)
            logger.warning("Job %s does not run again: %s.", attempt.job.id, why)
        case "not owned":
            _say_not_owned(attempt)


def _say_not_owned(attempt: Attempt) -> None:
    logger.warning(
        "Job %s of %s is not this worker's any more: its run here changes nothing.",
        attempt.job.id,
        attempt.job.task_name,
    )


def _retry_decision(
    worker: Worker, task: AnyTask | None, attempt: Attempt, error: BaseException
) -> RetryDecision | None:
    reason = worker.abort_reason_of(attempt)
    if task is None or reason is AbortReason.USER_REQUEST:
        return None
    if isinstance(error, JobAborted | asyncio.CancelledError):
        # Ended by the worker's stop, not by anything of its own.
        is_stopped = reason is AbortReason.SHUTDOWN
        return RetryDecision(retry_at=timezone.now()) if is_stopped else None
    try:
        retry = task.get_retry_exception(exception=error, job=attempt.job)
    except BaseException:  # of somebody else's code, too
        logger.exception("The retry rule of %s failed; the job is not retried.", task.name)
        return None
    return retry.retry_decision if retry else None
