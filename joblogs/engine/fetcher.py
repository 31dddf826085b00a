"""What a worker fetches next, whatever happens to the database."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import groupby
from typing import TYPE_CHECKING

from django.conf import settings
from procrastinate import utils
from procrastinate.exceptions import ConnectorException
from psycopg.errors import ForeignKeyViolation

from joblogs.engine.alarm import Alarm
from joblogs.engine.batch import batch_of
from joblogs.engine.contact import Contact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from joblogs.engine.fetched import FetchedJob
    from joblogs.engine.worker import Worker

    Starts = list[list[FetchedJob]]

# Seconds after a fetch without an answer during which it may still be done: as long as the network
# keeps what was sent, and the server the statement.
DOUBT = 60.0
# Seconds in which the answer to the last fetch may come when the worker stops.
LAST_ANSWER = 2.0
# How often, in seconds, its jobs are looked for meanwhile.
PAUSE = 2.0
# Seconds, spread by chance, after which a job that has to wait for others like it is tried again.
WAIT = (1.0, 3.0)


class Fetcher:
    """Fetches starts for a worker: single jobs, and batches of batch tasks' first tries.

    A job that was running in as many workers that died as it may but one is on its last chance: of
    those a worker runs one at a time, so that what ends the process is known.
    """

    def __init__(self, worker: Worker, wake: asyncio.Event, slot_freed: asyncio.Event) -> None:
        self._worker = worker
        self._manager = worker.app.job_manager
        self._wake = wake
        self._slot_freed = slot_freed
        self._alarm = Alarm(worker, wake)
        batches = ((name, batch_of(task)) for name, task in worker.app.tasks.items())
        self._sizes = {name: each.max_size for name, each in batches if each and each.max_size > 1}
        self._contact = Contact(
            "No jobs can be fetched",
            "Jobs can be fetched again",
            needs=worker.connector.contact,
            any_error=True,
        )
        self._doubt = asyncio.Event()
        self._doubt_until = float("-inf")
        # Held by whoever asks for jobs until they are in hand, so that none is found twice.
        self._lock = asyncio.Lock()
        self._fetching: asyncio.Task[bool] | None = None
        self._last_chances: set[int] = set()

    async def run(self, stopping: asyncio.Task[None]) -> None:
        """Fetch and start jobs until `stopping` ends, or until there are none if that is enough."""
        worker = self._worker
        while not worker.is_stopping:
            await self._run_all_there_are(stopping)
            if not worker.wait:
                if starts := worker.starts_in_hand():
                    # They have all the time they need, unless somebody asks for a stop.
                    await utils.wait_any(asyncio.wait(starts), asyncio.shield(stopping))
                return
            if worker.takes_jobs:
                self._alarm.set()
            await utils.wait_any(
                self._wake.wait(),
                asyncio.sleep(worker.fetch_job_polling_interval),
                asyncio.shield(stopping),
            )

    async def end(self) -> bool:
        """Look for jobs no more; tell whether the last fetch has come to its end.

        One that waits for its answer is given some time, and puts back what it brings. If it has
        not come then, its jobs are of a worker that is gone, and rescued.
        """
        self._alarm.cancel()
        if self._fetching is None:
            return True
        await asyncio.wait({self._fetching}, timeout=LAST_ANSWER)
        return not self._fetching.cancel()

    async def _run_all_there_are(self, stopping: asyncio.Task[None]) -> None:
        self._alarm.cancel()
        self._wake.clear()
        while self._worker.takes_jobs:
            if self._worker.free_slots <= 0:
                self._slot_freed.clear()
                await self._slot_freed.wait()
                continue
            # Before the fetch: who is deferred meanwhile is looked for again.
            self._wake.clear()
            self._alarm.note_fetch()
            # A stop does not wait for an answer that takes long.
            fetching = self._fetching = asyncio.create_task(self.fetch(), name="fetch jobs")
            await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not (fetching.done() and fetching.result()):
                break

    async def fetch(self) -> bool:
        """Have jobs run in the slots that are free, once there is a database.

        Tells whether there may be more. None run when the worker is asked to stop, or to be quiet.
        """
        while self._worker.takes_jobs:
            try:
                async with self._lock:
                    # Jobs of a lost answer may have been found meanwhile.
                    free = self._worker.free_slots
                    if free <= 0:
                        return True
                    fetched = await self._manager.fetch_jobs(
                        self._worker.queues,
                        self._worker.worker_id,
                        starts=free,
                        batch_sizes=self._sizes,
                    )
                    started = await self._start(fetched)
            except Exception as error:  # noqa: BLE001  # whatever it is, the worker goes on
                self._doubt_until = time.monotonic() + DOUBT
                self._doubt.set()
                await self._recover(error)
            else:
                self._contact.made()
                # With batches there may be more: a fetch looks only so far ahead.
                is_all = len(started) < free and all(len(jobs) == 1 for jobs in started)
                return bool(started) and not is_all
        return False

    async def _recover(self, error: Exception) -> None:
        if isinstance(error.__cause__, ForeignKeyViolation):
            # Somebody took this worker for dead, and deleted its row.
            try:
                await self._worker.presence.ensure()
            except Exception as another:  # noqa: BLE001  # as above
                error = another
            else:
                return
        if not isinstance(error, ConnectorException):
            if not self._contact.is_lost:
                self._worker.logger.error("A fetch failed in an unforeseen way.", exc_info=error)
            error = ConnectorException(repr(error))
        self._contact.lost(error)
        await self._contact.wait(error)

    async def keep_looking(self) -> None:
        """Start the jobs of fetches whose answers were lost: this worker has them, and runs none.

        Also while its slots are taken, or it is quiet: nobody else will. The last look is one after
        which no such fetch can be under way.
        """
        while True:
            await self._doubt.wait()
            await asyncio.sleep(PAUSE)
            last = time.monotonic() > self._doubt_until
            async with self._lock:
                known = [job.id for job in self._worker.jobs_in_hand()]
                lost = await self._manager.taken_jobs(self._worker.worker_id, known)
                await self._start(self._as_starts(lost))
            if last and time.monotonic() > self._doubt_until:
                self._doubt.clear()

    def _as_starts(self, jobs: Iterable[FetchedJob]) -> Starts:
        starts: Starts = []

        def kind(job: FetchedJob) -> tuple[str, str, int]:
            size = self._sizes.get(job.task_name, 1) if job.attempts == 0 else 1
            return job.task_name, job.queue, size

        for (_, _, size), alike in groupby(sorted(jobs, key=kind), key=kind):
            some = list(alike)
            starts += [some[at : at + size] for at in range(0, len(some), size)]
        return starts

    async def _start(self, starts: Starts) -> Starts:
        """Have those run that may, and return them; the others are put back."""
        found = await self._one_last_chance_at_a_time(starts)
        if self._worker.is_stopping:
            await self._put_back([job.id for jobs in found for job in jobs], seconds=0)
            return []
        self._worker.start(found)
        return found

    async def _put_back(self, jobs: list[int], *, seconds: float) -> set[int]:
        return await self._manager.put_back(self._worker.worker_id, jobs, seconds=seconds)

    async def _one_last_chance_at_a_time(self, starts: Starts) -> Starts:
        before_last = settings.JOBLOGS_MOST_DEATHS - 1
        if before_last < 1:
            return starts
        tried = [jobs[0] for jobs in starts if jobs[0].attempts >= before_last]
        if not tried:
            return starts
        dying = await self._manager.jobs_lost_often(tried, before_last)
        self._last_chances.intersection_update(job.id for job in self._worker.jobs_in_hand())
        waiting = [job.id for job in tried if job.id in dying]
        if not self._last_chances:
            self._last_chances.update(waiting[:1])
            waiting = waiting[1:]
        seconds = random.uniform(*WAIT)  # noqa: S311  # spreads waits, no secret
        gone = await self._put_back(waiting, seconds=seconds)
        return [jobs for jobs in starts if jobs[0].id not in gone]
