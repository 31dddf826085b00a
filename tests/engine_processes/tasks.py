"""What these tests' workers can do. Their effects are rows of a table without any constraint.

Tests defer them by name, with `job`: registered in the tests' own process they would be everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connection
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app

from joblogs.engine.batch import BatchJob, batch_task, transactional
from tests.engine_processes.gate import pass_through
from tests.engine_processes.jobs import job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procrastinate.middleware import SyncCallNext
    from procrastinate.worker import Worker


def write(*numbers: Any) -> None:
    """Have effects, one for each number."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO effects (number) VALUES (%s)", [(number,) for number in numbers]
        )


def at_the_door(call_next: SyncCallNext, context: JobContext, worker: Worker) -> Any:
    """Stop jobs that are to stop before their function is called."""
    if context.job.task_kwargs.get("stop") == "before":
        pass_through()
    return call_next()


@batch_task(task_middleware=[at_the_door])
def note_together(jobs: Sequence[BatchJob]) -> None:
    write(*(each.arguments["number"] for each in jobs))
    if any(each.arguments.get("stop") == "inside" for each in jobs):
        pass_through()


@app.task(task_middleware=[at_the_door])
@transactional
def note_exactly_once(number: int, stop: str = "") -> None:
    write(number)
    if stop == "inside":
        pass_through()


@app.task
def note(number: int, stop: str = "") -> None:
    if stop == "inside":
        pass_through()
    write(number)


@app.task
async def note_asynchronously(number: int) -> None:
    await sync_to_async(write)(number)


@app.task(pass_context=True, retry=RetryStrategy(max_attempts=1))
def note_at_the_second_attempt(context: JobContext, number: int) -> None:
    if not context.job.attempts:
        raise ValueError("not yet")
    write(number)


@app.task(pass_context=True, retry=RetryStrategy(max_attempts=1, wait=1))
def note_a_second_later(context: JobContext, number: int) -> None:
    if not context.job.attempts:
        raise ValueError("not yet")
    write(number)


@app.task
def fail_behind_the_gate(number: int, stop: str) -> None:
    pass_through()
    raise ValueError("for nothing")


@app.task
def defer_note(number: int, queue: str) -> None:
    job("note", queue=queue).defer(number=number)


@app.task
async def defer_note_asynchronously(number: int, queue: str) -> None:
    await job("note", queue=queue).defer_async(number=number)


@app.task
@transactional
def defer_note_exactly_once(number: int, queue: str) -> None:
    job("note", queue=queue).defer(number=number)
