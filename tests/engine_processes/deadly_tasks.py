"""Tasks that end the process they run in, or hold up all of it. Their effects are rows, too.

Like the others of this folder, tests defer them by name.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psycopg
from procrastinate.contrib.django import app

from joblogs.engine.batch import BatchJob, batch_task
from tests.engine_processes.gate import KEY
from tests.engine_processes.tasks import write
from tests.processes import database_url

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLY = 0


def die_of(*numbers: object) -> None:
    """End this process, as the kernel does when memory runs out, if one of these is deadly."""
    if DEADLY in numbers:
        os.kill(os.getpid(), signal.SIGKILL)


@batch_task()
def note_together_or_die(jobs: Sequence[BatchJob]) -> None:
    numbers = [job.arguments["number"] for job in jobs]
    write(*numbers)
    die_of(*numbers)


@app.task
def note_or_die(number: int) -> None:
    die_of(number)
    write(number)


@app.task
async def note_after_holding_the_loop(number: int) -> None:
    """Hold the event loop until the gate is open, as code does that should not be asynchronous."""
    with psycopg.connect(database_url(), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock_shared(%s)", [KEY])
        connection.execute("INSERT INTO effects (number) VALUES (%s)", [number])
