"""How a worker tells that it lives, and looks after the jobs of those that do not any more."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
import time
from itertools import starmap
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from procrastinate import utils
from procrastinate.exceptions import ConnectorException
from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable
from psycopg.types.json import Jsonb

import joblogs
from joblogs.engine import queries
from joblogs.engine.sessions import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procrastinate.types import JSONDict

    from joblogs.engine.connectors import WorkerConnector
    from joblogs.engine.worker import Worker

NOT_MIGRATED = "The database is not that of this version: run manage.py migrate."
AT_A_TIME = 1_000  # jobs given back in one statement
GOODBYE = 2.0  # seconds
LONGEST_NAME = 128  # characters, in job_workers

#: What a worker's row in job_workers calls what it does.
RUNNING, QUIET, DRAINING = "running", "quiet", "draining"


class Orphan(NamedTuple):
    """A job that is running for nobody."""

    id: int
    attempts: int


class Presence:
    """A worker's row in the database: there from `enter` to `leave`.

    With each heartbeat, it also gives back the jobs of workers that died: those whose heartbeat is
    older than `timeout` seconds and whose lock is free. A worker that has been without the database
    waits for one `timeout` before it does that, so that the others, who had none either, can tell
    first that they live.
    """

    def __init__(self, worker: Worker, connector: WorkerConnector, timeout: float) -> None:
        self._worker = worker
        self._connector = connector
        self._timeout = timeout
        self._started_at = time.monotonic()
        #: The moment since which its heartbeats have been answered without a gap.
        self._in_touch_since = self._started_at
        self._answered_at = self._started_at
        self._changed = asyncio.Event()
        #: When this worker saw which orphan first. Its worker may be about to register again.
        self._orphans: dict[Orphan, float] = {}

    async def enter(self, stop: asyncio.Event) -> int | None:
        """Register, as soon as there is a database, and return the id; None when asked to stop."""
        while not stop.is_set():
            try:
                return await self._register()
            except ConnectorException as error:
                if isinstance(
                    error.__cause__, UndefinedTable | UndefinedColumn | UndefinedFunction
                ):
                    raise ConnectorException(NOT_MIGRATED) from error.__cause__
                if not self._connector.contact.waits_for(error):
                    raise
                await utils.wait_any(self._connector.contact.wait(error), stop.wait())
        return None

    async def keep_beating(self) -> None:
        """Send the heartbeat every few seconds, and when there is something to tell."""
        while True:
            self._changed.clear()
            await self._beat_and_look()
            await utils.wait_any(
                asyncio.sleep(self._worker.update_heartbeat_interval), self._changed.wait()
            )

    def tell(self) -> None:
        """Have the worker's state told now."""
        self._changed.set()

    async def ensure(self) -> bool:
        """Register again if that is needed, or if jobs of this worker are nobody's.

        Return whether it was.
        """
        row = await self._beat()
        if needed := row is None or self._are_in_hand(row):
            await self._register()
        return needed

    async def leave(self) -> None:
        """Unregister, if that can be done now; else others see that the worker is gone."""
        try:
            goodbye = self._connector.execute_query_async(
                query=queries.UNREGISTER_WORKER, worker_id=self._worker.worker_id
            )
            await within(GOODBYE, goodbye)
        except (ConnectorException, TimeoutError):
            self._worker.logger.warning(
                "The worker could not say goodbye: others will see that it is gone."
            )

    async def _register(self) -> int:
        """Register the worker, again if it was before, and return its id."""
        worker_id, jobs = self._worker.worker_id, self._worker.jobs_in_hand()
        row = await self._connector.execute_query_one_async(
            query=queries.REGISTER_WORKER,
            worker_id=worker_id,
            about=Jsonb(self._about()),
            jobs=[job.id for job in jobs],
            attempts=[job.attempts for job in jobs],
        )
        if worker_id is not None:
            self._worker.logger.warning(
                "Somebody took this worker for dead: it has registered again."
            )
        registered: int = row["worker_id"]
        return registered

    async def _beat_and_look(self) -> None:
        row = await self._beat()
        now = time.monotonic()
        # A heartbeat that was given up may have been done late: its row tells of no gap then.
        unanswered, self._answered_at = now - self._answered_at, now
        if row is None or self._are_in_hand(row):
            await self._register()
            self._in_touch_since = now
            return
        if max(row["gap"], unanswered) > 2 * self._worker.update_heartbeat_interval:
            self._in_touch_since = now
        seen = starmap(Orphan, zip(row["orphans"], row["orphan_attempts"], strict=True))
        self._orphans = {orphan: self._orphans.get(orphan, now) for orphan in seen}
        if now - self._in_touch_since < self._timeout:
            return
        orphans = [each for each, since in self._orphans.items() if now - since >= self._timeout]
        if row["others_are_silent"] or orphans:
            await self._rescue(orphans)

    def _are_in_hand(self, row: dict[str, Any]) -> bool:
        """Tell whether some of the orphans are jobs that this worker runs."""
        orphans = set(zip(row["orphans"], row["orphan_attempts"], strict=True))
        return any((job.id, job.attempts) in orphans for job in self._worker.jobs_in_hand())

    async def _beat(self) -> dict[str, Any] | None:
        """Send the heartbeat; return its answer, or None for a worker that is not registered."""
        row = await self._connector.execute_query_one_async(
            query=queries.HEARTBEAT,
            worker_id=self._worker.worker_id,
            about=Jsonb(self._about()),
            timeout=self._timeout,
        )
        return row if row["registered"] else None

    async def _rescue(self, orphans: Sequence[Orphan]) -> None:
        more = True
        while more:
            rows = await self._connector.execute_query_all_async(
                query=queries.RESCUE_JOBS,
                timeout=self._timeout,
                most_deaths=settings.JOBLOGS_MOST_DEATHS,
                orphans=[orphan.id for orphan in orphans],
                orphan_attempts=[orphan.attempts for orphan in orphans],
                at_most=AT_A_TIME,
            )
            for row in filter(itemgetter("jobs"), rows):
                self._say_rescued(row["worker"], row["jobs"], row["ended"])
                self._worker.look_for_jobs()
            more = any(row["jobs"] == AT_A_TIME for row in rows)

    def _say_rescued(self, worker: str | None, jobs: int, ended: list[int]) -> None:
        whose = f"of {worker}, which died" if worker else "that were running for nobody"
        self._worker.logger.warning(
            "Gave back %d %s %s.", jobs, "job" if jobs == 1 else "jobs", whose
        )
        if ended:
            self._worker.logger.error(
                "Of them, these do not run again, and their logs say why: %s.",
                ", ".join(map(str, ended)),
            )

    def _about(self) -> JSONDict:
        worker = self._worker
        return {
            "name": (worker.worker_name or "")[:LONGEST_NAME],
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(worker.queues) if worker.queues else None,
            "concurrency": worker.concurrency,
            "running": len(worker.jobs_in_hand()),
            "version": joblogs.__version__,
            "state": worker.state,
            "memory": resident_memory(),
            "holds_lock": self._connector.holds_lock,
            "age": time.monotonic() - self._started_at,
        }


def resident_memory() -> int:
    """Return how many bytes of memory this process takes; where there is no /proc, at most took."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()
