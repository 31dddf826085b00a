"""What a worker does beside its jobs, for as long as it lives."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from procrastinate import utils
from procrastinate.exceptions import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from joblogs.engine.contact import Contact

logger = logging.getLogger(__name__)

# Seconds until something that failed is tried again.
PAUSE = 1.0
# How long it has to go well, in seconds, until a failure is told again.
WELL = 60.0


class SideTasks:
    """What runs until it ends by itself, again whenever it fails; no failure is silent or final."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start some work; whoever cancels what this returns ends it."""
        task = asyncio.create_task(self._keep_running(name, work), name=name)
        self._tasks.append(task)
        return task

    async def end(self) -> None:
        """End all of them."""
        await utils.cancel_and_capture_errors(self._tasks)

    async def _keep_running(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        told = False
        while True:
            began = time.monotonic()
            try:
                await work()
            except ConnectorException as error:
                if self._contact.waits_for(error):
                    # An outage, which is told by whoever saw it first.
                    await self._contact.wait(error)
                    continue
                failure: BaseException = error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Not of this task: of something that the work waited for.
                failure = error
            except Exception as error:  # noqa: BLE001  # whatever it is, the worker goes on
                failure = error
            else:
                return
            if not told or time.monotonic() - began > WELL:
                logger.error("%s failed, and is tried again every second.", name, exc_info=failure)
                told = True
            await asyncio.sleep(PAUSE)
