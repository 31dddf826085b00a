"""Which of the jobs that a worker fetched are still its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from procrastinate.exceptions import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from procrastinate.types import JSONDict

    from joblogs.engine.contact import Contact
    from joblogs.engine.fetched import FetchedJob
    from joblogs.engine.worker import Worker

T = TypeVar("T")

# How often in a row a job has to be somebody else's while the worker's row is as it should be: it
# may be deleted between one look and the next.
LOOKS = 3


class Ownership:
    """A worker's hold on its jobs, which also lasts when somebody deletes the worker's row."""

    def __init__(self, worker: Worker, contact: Contact) -> None:
        self._worker = worker
        self._contact = contact

    async def end(self, rows: Mapping[int, JSONDict]) -> dict[int, str]:
        """End attempts, as JobManager.finish_attempts does."""
        verdicts = await self._finish(rows)
        looks = 0
        while looks < LOOKS and (lost := [job for job in verdicts if verdicts[job] == "not owned"]):
            # Perhaps with the worker's row, and back with it: somebody else may have seen to that.
            looks = 0 if await self._worker.presence.ensure() else looks + 1
            for job in lost:
                del verdicts[job]
            verdicts |= await self._finish({job: rows[job] for job in lost})
        return verdicts

    async def of(self, jobs: list[FetchedJob]) -> set[int]:
        """Return the ids of those jobs that are still the worker's, waiting for the database.

        Those that it lost with its row are its own again.
        """
        manager = self._worker.app.job_manager
        await self._insist(self._worker.presence.ensure)
        return await self._insist(manager.owned_jobs, self._worker.worker_id, jobs)

    async def _insist(self, query: Callable[..., Awaitable[T]], *args: Any) -> T:
        while True:
            try:
                return await query(*args)
            except ConnectorException as error:
                await self._contact.wait(error)

    async def _finish(self, rows: Mapping[int, JSONDict]) -> dict[int, str]:
        worker = self._worker
        return await worker.app.job_manager.finish_attempts(worker.worker_id, worker.label, rows)
