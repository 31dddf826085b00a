"""How a worker ends that was asked to stop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from procrastinate import utils
from procrastinate.exceptions import ConnectorException

from joblogs.engine import execution
from joblogs.engine.sessions import within

if TYPE_CHECKING:
    from joblogs.engine.worker import Worker

# Seconds in which it is asked which jobs somebody wanted to end, in which jobs that were told to do
# so may end, and in which the rest is given back.
LAST_LOOK = 0.5
LAST_WORDS = 1.0
GIVING_BACK = 2.0


async def drain(worker: Worker, leave: asyncio.Event) -> None:
    """Let the jobs that run come to their end, for as long as there is time; then end them.

    The time is up after the worker's graceful time-out, or when it is told to leave. Then
    coroutines are cancelled, and what runs on in threads is given back to its queue: threads cannot
    be ended, but with their process.
    """
    if not (running := worker.starts_in_hand()):
        return
    worker.logger.info("Waiting for jobs to end: %d", len(worker.jobs_in_hand()))
    await utils.wait_any(
        asyncio.wait(running, timeout=worker.shutdown_graceful_timeout), leave.wait()
    )
    if not (running := worker.starts_in_hand()):
        return
    worker.logger.warning(
        "Stopping jobs that have not ended in time: %d", len(worker.jobs_in_hand())
    )
    # These end for good, the others run again.
    with suppress(ConnectorException, TimeoutError):
        await within(LAST_LOOK, worker.look_for_jobs_to_abort())
    worker.abort_all()
    await asyncio.wait(running, timeout=LAST_WORDS)
    if running := worker.starts_in_hand():
        worker.left_behind = True
        await _give_back(worker)
        for start in running:
            start.cancel()


async def _give_back(worker: Worker) -> None:
    # What runs on in a thread may still change the attempts themselves.
    rows = {
        attempt.job.id: execution.interrupted(worker, attempt).row(worker.delete_jobs)
        for attempt in worker.attempts_in_hand()
    }
    try:
        others = await within(GIVING_BACK, worker.ownership.end(rows))
    except (ConnectorException, TimeoutError) as error:
        reason = error.__cause__ if isinstance(error, ConnectorException) else "no answer"
        worker.logger.warning("Jobs left to be rescued, not given back: %d (%s)", len(rows), reason)
    else:
        worker.logger.warning("Jobs given back, to run again: %d", len(rows) - len(others))
