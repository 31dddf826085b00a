"""Run a task at once, without a queue."""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from procrastinate import jobs, middleware
from procrastinate.contrib.django import app
from procrastinate.job_context import JobContext

from joblogs.engine.outcome import log_outcome

if TYPE_CHECKING:
    from procrastinate.tasks import Task


def run_now(task: Task[..., Any, ...], /, **task_kwargs: Any) -> Any:
    """Run a task in the caller's process, thread and transaction, and return its result.

    There is no job row and no retry: an error reaches the caller. Arguments must be JSON values,
    as for `defer`. Inside async code call it through `sync_to_async`.
    """
    job = jobs.Job(
        task_name=task.name,
        queue=task.queue,
        lock=task.lock,
        queueing_lock=task.queueing_lock,
        task_kwargs=task_kwargs,
    )
    started_at = time.time()
    context = JobContext(app=app, job=job, start_timestamp=started_at, abort_reason=lambda: None)
    arguments = [context] if task.pass_context else []

    def call() -> Any:
        return task(*arguments, **task_kwargs)

    run = middleware.compose(task.task_middleware, call, context, None)

    async def run_async() -> Any:
        return await run()

    try:
        result = async_to_sync(run_async)() if inspect.iscoroutinefunction(task.func) else run()
    except BaseException as error:
        log_outcome(
            job,
            "failed",
            waited=None,
            ran=time.time() - started_at,
            detail=f"{type(error).__name__}: {error}",
            level=logging.ERROR,
            error=error,
        )
        raise
    log_outcome(job, "succeeded", waited=None, ran=time.time() - started_at, detail=result)
    return result
