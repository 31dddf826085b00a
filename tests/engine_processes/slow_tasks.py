"""What workers are in the midst of when they are stopped, or when the database goes away.

What is slow at the first attempt is quick at the second one. Tests defer them by name, as those of
the module beside this one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connection
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted

from joblogs.engine.batch import BatchJob, batch_task, transactional
from joblogs.engine.draining import LAST_WORDS
from tests.engine_processes.gate import pass_through
from tests.engine_processes.tasks import write
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3600.0
IN_AN_HOUR = RetryStrategy(max_attempts=5, wait=3600)


@app.task(pass_context=True)
async def sleep(context: JobContext, number: int) -> None:
    if not context.job.attempts:
        await asyncio.sleep(HOUR)
    await sync_to_async(write)(number)


@app.task(pass_context=True, retry=IN_AN_HOUR)
async def sleep_with_a_retry_rule(context: JobContext, number: int) -> None:
    await sleep(context, number)


@app.task(pass_context=True)
async def sleep_and_not_be_cancelled(context: JobContext, number: int) -> None:
    while not context.job.attempts:
        try:
            await asyncio.sleep(HOUR)
        except asyncio.CancelledError:
            continue
    await sync_to_async(write)(number)


@app.task
async def sleep_and_tidy_up(number: int) -> None:
    try:
        await asyncio.sleep(HOUR)
    finally:
        await asyncio.sleep(LAST_WORDS / 2)
        await sync_to_async(write)(number)


@app.task(pass_context=True)
async def wait_for_a_thread(context: JobContext, number: int) -> None:
    if not context.job.attempts:
        await sync_to_async(time.sleep)(HOUR)
    await sync_to_async(write)(number)


@app.task(pass_context=True)
def sleep_in_a_thread(context: JobContext, number: int) -> None:
    if not context.job.attempts:
        time.sleep(HOUR)
    write(number)


@app.task(pass_context=True, retry=IN_AN_HOUR)
def sleep_in_a_thread_with_a_retry_rule(context: JobContext, number: int) -> None:
    sleep_in_a_thread(context, number)


@batch_task()
def sleep_together(jobs: Sequence[BatchJob]) -> None:
    write(*(each.arguments["number"] for each in jobs))
    if jobs[0].attempt == 1:
        time.sleep(HOUR)


@app.task(pass_context=True)
@transactional
def sleep_in_a_transaction(context: JobContext, number: int) -> None:
    write(number)
    if not context.job.attempts:
        time.sleep(HOUR)


@batch_task()
def work_one_by_one(jobs: Sequence[BatchJob]) -> None:
    if len(jobs) > 1:
        raise ValueError("not together")
    write(jobs[0].arguments["number"])
    pass_through()


@app.task(pass_context=True)
def end_when_told(context: JobContext, path: str) -> None:
    """End when there is a file at this path; each run leaves a line in its twin of suffix .runs."""
    told = Path(path)
    with told.with_suffix(".runs").open("a") as runs:
        runs.write(f"attempt {context.job.attempts + 1}\n")
    wait_for(told.exists)
    if context.should_abort():
        raise JobAborted


@app.task(pass_context=True)
def end_when_aborted(context: JobContext, path: str) -> None:
    """End when the worker knows that the job is to end, and leave a file at this path."""
    wait_for(context.should_abort)
    Path(path).touch()
    raise JobAborted


@app.task
def tell_settings(names: list[str]) -> dict[str, Any]:
    """Return what these settings of the session are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [names]
        )
        return dict(cursor.fetchall())
