"""How long to wait before the database is tried again."""

from __future__ import annotations

import logging
import random
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
LONGEST = 5.0


class Backoff:
    """Waits longer and longer while the database is away, and says so once at both ends."""

    def __init__(self, trouble: str, relief: str) -> None:
        self._trouble = trouble
        self._relief = relief
        self._wait = 0.0

    def after(self, error: ConnectorException) -> float:
        """Return how many seconds to wait; raise an error that time does not mend."""
        cause = error.__cause__
        if not isinstance(cause, Error) or not _passes(cause):
            raise error
        if not self._wait:
            logger.warning("%s: %s", self._trouble, cause)
        self._wait = min(max(2 * self._wait, FIRST), LONGEST)
        return self._wait * random.uniform(0.5, 1)  # noqa: S311  # spreads waits, no secret

    def succeeded(self) -> None:
        """Say that the trouble is over, if there was any."""
        if self._wait:
            logger.info("%s.", self._relief)
            self._wait = 0.0


def _passes(cause: Error) -> bool:
    if cause.sqlstate:
        return cause.sqlstate[:2] in PASSING or cause.sqlstate == READ_ONLY
    return isinstance(cause, OperationalError | InterfaceError)
