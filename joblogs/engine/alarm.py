"""Wakes a worker when the next scheduled job is due."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from procrastinate.exceptions import ConnectorException

if TYPE_CHECKING:
    from joblogs.engine.worker import Worker

# Seconds without a job after which a worker asks when the next one is due.
PAUSE = 0.02


class Alarm:
    """Set while a worker waits: it asks once when the next job is due, and sleeps till then."""

    def __init__(self, worker: Worker, wake: asyncio.Event) -> None:
        self._worker = worker
        self._wake = wake
        self._task: asyncio.Task[None] | None = None
        self._fetched_at = 0.0

    def note_fetch(self) -> None:
        """Note that jobs are looked for now."""
        self._fetched_at = time.monotonic()

    def set(self) -> None:
        self._task = asyncio.create_task(self._wake_when_due(), name="wake when due")

    def cancel(self) -> None:
        if self._task:
            self._task.cancel()

    async def _wake_when_due(self) -> None:
        # There may be something to do again in a moment: then nobody need ask.
        await asyncio.sleep(PAUSE)
        # A query is not cancelled halfway: that costs more than its answer.
        seconds = await asyncio.shield(self._seconds_until_due())
        if seconds is not None and seconds < self._worker.fetch_job_polling_interval:
            await asyncio.sleep(max(seconds, 0))
            self._wake.set()

    async def _seconds_until_due(self) -> float | None:
        manager, queues = self._worker.app.job_manager, self._worker.queues
        try:
            # A job may have become due since the last fetch looked.
            since = time.monotonic() - self._fetched_at
            return await manager.seconds_until_due(queues, since=since)
        except ConnectorException:
            return None  # There is the poll.
