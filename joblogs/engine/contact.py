"""Whether the database can be used, and how long to wait before it is tried again."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from psycopg import Error, InterfaceError, OperationalError

if TYPE_CHECKING:
    from procrastinate.exceptions import ConnectorException

logger = logging.getLogger(__name__)

# Classes of PostgreSQL's error codes that pass with time: connection, rollback, resources, object
# in use, intervention, system. https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = {"08", "40", "53", "55", "57", "58"}
READ_ONLY = "25006"  # a server that was the first one until a failover

FIRST = 0.1  # seconds
LONGEST = 2.0
# What is over after so many seconds is not worth a word: one connection that broke, say.
BRIEF = 0.3


class Contact:
    """Tells once when the database cannot be used and once when it can again, however many ask.

    Nothing is told of what is over in a moment. Waits grow with the time that it has been away, up
    to `LONGEST` and spread by chance, and the first one who gets through ends everybody's. What
    needs another contact says nothing of its own once that one has said that it is lost.
    """

    def __init__(
        self,
        trouble: str,
        relief: str,
        *,
        needs: Contact | None = None,
        any_error: bool = False,
    ) -> None:
        self._needs = needs
        self._trouble = trouble
        self._relief = relief
        #: Whether also errors are waited for that time does not mend, but people do.
        self._any_error = any_error
        self._lost_at: float | None = None
        #: When it was there again last.
        self.made_at = float("-inf")
        self._told = False
        self._regained = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        return self._lost_at is not None

    @property
    def is_told(self) -> bool:
        """Tell whether it has been said that it cannot be used."""
        return self._told

    def lost(self, error: ConnectorException) -> None:
        """Note that it could not be used; nothing is noted of errors that are not waited for."""
        if not self.waits_for(error):
            return
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            self._regained.clear()
        since, is_told_of = self._lost_at, self._told
        if self._needs is not None:
            # What failed last may have begun before that one was there again.
            since = max(since, self._needs.made_at)
            is_told_of = is_told_of or self._needs.is_told
        if not is_told_of and now - since >= BRIEF:
            self._told = True
            logger.warning("%s: %s", self._trouble, _one_line(error))

    def made(self) -> None:
        """Note that it was used."""
        if self._lost_at is None:
            return
        if self._told:
            self._told = False
            away = time.monotonic() - self._lost_at
            logger.info("%s, after %.1f s.", self._relief, away)
        self._lost_at = None
        self.made_at = time.monotonic()
        self._regained.set()

    async def wait(self, error: ConnectorException) -> None:
        """Wait until it should be tried again. Raises an error that is not waited for."""
        if not self.waits_for(error):
            raise error
        away = time.monotonic() - self._lost_at if self._lost_at is not None else 0.0
        pause = min(max(away, FIRST), LONGEST) * random.uniform(0.5, 1)  # noqa: S311  # spreads waits, no secret
        if self._lost_at is None:
            await asyncio.sleep(pause)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._regained.wait(), pause)

    def waits_for(self, error: ConnectorException) -> bool:
        """Tell whether an error is one after which it is tried again."""
        return self._any_error or passes(error)


def passes(error: ConnectorException) -> bool:
    """Tell whether an error of the database's is one that passes with time."""
    cause = error.__cause__
    if not isinstance(cause, Error):
        return False
    if cause.sqlstate:
        return cause.sqlstate[:2] in PASSING or cause.sqlstate == READ_ONLY
    return isinstance(cause, OperationalError | InterfaceError)


def _one_line(error: ConnectorException) -> str:
    # Without its context, which can be a whole query.
    return " ".join(str(error.__cause__ or error).split("CONTEXT:")[0].split())
