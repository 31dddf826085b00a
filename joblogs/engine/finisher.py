"""Ends attempts in the database, as many as have come together at a time."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from procrastinate.exceptions import ConnectorException

from joblogs.engine.contact import Contact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from procrastinate.jobs import DeleteJobCondition
    from procrastinate.types import JSONDict

    from joblogs.engine.attempt import Attempt

    Rows = Mapping[int, JSONDict]

logger = logging.getLogger(__name__)

AT_MOST = 500  # attempts in one statement


class Finisher:
    """Acknowledges attempts together: at once when idle, many at a time under load.

    While one statement is on its way, others gather for the next. Whoever hands one in waits until
    it is durable, and keeps a worker's slot that long: that is the back-pressure. When the database
    is away, what was handed in is kept and tried again until it is back. What PostgreSQL refuses is
    written down as a failure with that reason; should it refuse even that, it is tried again, too.
    """

    def __init__(
        self,
        write: Callable[[Rows], Awaitable[dict[int, str]]],
        delete: DeleteJobCondition,
        contact: Contact,
    ) -> None:
        self._write = write
        self._delete = delete
        self._contact = Contact(
            "Ended jobs wait for the database", "They are written down again", needs=contact
        )
        self._refused = Contact(
            "No end of a job can be written down",
            "Ends can be written down again",
            needs=contact,
            any_error=True,
        )
        self._waiting: list[tuple[Attempt, asyncio.Future[str]]] = []
        self._flushing: asyncio.Task[None] | None = None
        #: Why the rows of some attempts were not taken, by job id.
        self._refusals: dict[int, BaseException] = {}
        self._insisting: set[asyncio.Task[None]] = set()

    async def finish(self, attempt: Attempt) -> str:
        """Return once the end of the attempt is durable: "finished", or what happened instead."""
        acknowledged: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, acknowledged))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="finish jobs")
        return await asyncio.shield(acknowledged)

    async def _flush(self) -> None:
        while self._waiting:
            some = self._next()
            try:
                verdicts = await self._end([attempt for attempt, _ in some])
            except BaseException as error:  # noqa: BLE001  # whoever waits is told
                for _, acknowledged in some:
                    acknowledged.set_exception(error)
            else:
                for attempt, acknowledged in some:
                    if reason := self._refusals.pop(attempt.job.id, None):
                        insisting = asyncio.create_task(self._insist(attempt, reason, acknowledged))
                        self._insisting.add(insisting)
                        insisting.add_done_callback(self._insisting.discard)
                    else:
                        acknowledged.set_result(verdicts.get(attempt.job.id, "finished"))
        self._flushing = None

    def _next(self) -> list[tuple[Attempt, asyncio.Future[str]]]:
        """Take what goes into one statement: of two attempts of one job the second has to wait."""
        some: dict[int, tuple[Attempt, asyncio.Future[str]]] = {}
        later = []
        for entry in self._waiting:
            job_id = entry[0].job.id
            if job_id in some or len(some) == AT_MOST:
                later.append(entry)
            else:
                some[job_id] = entry
        self._waiting = later
        return list(some.values())

    async def _end(self, attempts: list[Attempt]) -> dict[int, str]:
        try:
            rows = {attempt.job.id: self._row(attempt) for attempt in attempts}
            return await self._persist(rows, self._contact)
        except ConnectorException as error:
            if len(attempts) > 1:
                # One of them cannot be written: find out which, so that it costs that one alone.
                verdicts: dict[int, str] = {}
                for attempt in attempts:
                    verdicts |= await self._end([attempt])
                return verdicts
            [attempt] = attempts
            logger.exception("The end of job %s cannot be written down.", attempt.job.id)
            self._refusals[attempt.job.id] = error.__cause__ or error
            return {}

    async def _insist(
        self, attempt: Attempt, reason: BaseException, acknowledged: asyncio.Future[str]
    ) -> None:
        """Write down the bare end of an attempt, however long it takes until that can be done."""
        rows = {attempt.job.id: attempt.bare_row(reason)}
        verdicts = await self._persist(rows, self._refused)
        acknowledged.set_result(verdicts.get(attempt.job.id, "finished"))

    def _row(self, attempt: Attempt) -> JSONDict:
        try:
            row = attempt.row(self._delete)
            json.dumps(row)
        except Exception as error:
            # A retry rule or an exception of somebody's that is not what it should be.
            logger.exception("The end of job %s cannot be told.", attempt.job.id)
            return attempt.bare_row(error)
        return row

    async def _persist(self, rows: Rows, contact: Contact) -> dict[int, str]:
        """Write rows, and try for as long as it takes while the database cannot be reached."""
        while True:
            try:
                verdicts = await self._write(rows)
            except ConnectorException as error:
                contact.lost(error)
                await contact.wait(error)
            else:
                contact.made()
                return verdicts
