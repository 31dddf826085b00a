"""Ordinary tasks beside that of users' logs. Their effects are rows that tell of which job.

They may have them twice, when their worker dies after the work, and never not at all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.db import connection
from procrastinate.contrib.django import app

from joblogs.engine.retry import ExponentialBackoff
from joblogs.queues import DEFAULT

if TYPE_CHECKING:
    from procrastinate import JobContext

#: How long a slow job has a slot to itself, in seconds.
SLOW = 0.2


def write(job_id: int | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effects (job_id) VALUES (%s)", [job_id])


@app.task(queue=DEFAULT, pass_context=True, retry=ExponentialBackoff())
def note(context: JobContext) -> None:
    write(context.job.id)


@app.task(queue=DEFAULT, pass_context=True, retry=ExponentialBackoff())
async def note_asynchronously(context: JobContext) -> None:
    await sync_to_async(write)(context.job.id)


@app.task(queue=DEFAULT, pass_context=True, retry=ExponentialBackoff())
async def note_slowly(context: JobContext) -> None:
    await asyncio.sleep(SLOW)
    await sync_to_async(write)(context.job.id)
