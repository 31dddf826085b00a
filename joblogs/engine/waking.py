"""Telling workers, after the commit, that there is something to do."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from functools import cache, partial
from typing import TYPE_CHECKING

from django.db import connections, transaction
from procrastinate.contrib.django.settings import settings

from joblogs.engine import queries
from joblogs.engine.connections import commits_by_itself

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

# In a burst the first notice goes out at once and the next ones at these distances, in seconds:
# twice as far each time, from the shortest to the longest. A burst ends when nothing comes for some
# longer than the longest.
SHORTEST = 0.002
LONGEST = 0.020
# How long the thread that sends them, and its connection, outlive the burst.
IDLE = 1.0


def wake_after_commit(queues: Iterable[str], *, using: str | None = None) -> None:
    """Wake the workers of these queues once the transaction has committed; outside of one, now.

    Never raises for a notice that cannot be sent: workers look for themselves from time to time.
    """
    alias = using or settings.DATABASE_ALIAS
    wake = partial(waker(alias).wake, frozenset(queues))
    transaction.on_commit(wake, using=alias, robust=True)


@cache
def waker(alias: str) -> Waker:
    """Return this process's waker for a database."""
    return Waker(alias)


class Waker:
    """Sends notices over one database, few of them however many there are to send."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._start_afresh()
        atexit.register(self.flush)
        # A child has neither the thread nor whoever held the lock.
        os.register_at_fork(after_in_child=self._start_afresh)

    def _start_afresh(self) -> None:
        self._condition = threading.Condition()
        self._pending: set[str] = set()
        self._thread: threading.Thread | None = None
        self._sending = False
        self._sent_at = float("-inf")
        self._distance = SHORTEST

    def wake(self, queues: Iterable[str], *, here: bool = True) -> None:
        """Wake the workers of these queues, whose jobs are committed.

        The first notice of a burst is sent on the caller's connection; others, and all when `here`
        is false, on the connection of a thread.
        """
        here = here and commits_by_itself(connections[self.alias])
        with self._condition:
            self._pending.update(queues)
            if not here or time.monotonic() < self._sent_at + self._distance:
                self._send_from_thread()
                return
            due = self._take()
        if not self._send(due):
            with self._condition:
                # Perhaps it was the caller's connection.
                self._pending.update(due)
                self._send_from_thread()

    def flush(self) -> None:
        """Send what is still to be sent: the process is about to end."""
        with self._condition:
            self._condition.wait_for(lambda: not self._sending, timeout=IDLE)
            due = self._take()
        if due:
            was_open = connections[self.alias].connection is not None
            self._send(due)
            if not was_open:
                connections[self.alias].close()

    def _take(self) -> list[str]:
        due = sorted(self._pending)
        self._pending.clear()
        now = time.monotonic()
        # What had to wait has come a moment after the longest distance.
        is_burst = now < self._sent_at + 1.5 * LONGEST
        self._distance = min(2 * self._distance, LONGEST) if is_burst else SHORTEST
        self._sent_at = now
        return due

    def _send(self, queues: list[str], *, level: int = logging.WARNING) -> bool:
        try:
            with connections[self.alias].cursor() as cursor:
                cursor.execute(queries.WAKE, {"queues": queues})
        except Exception as error:  # noqa: BLE001  # told in one line, and no concern of the caller's
            logger.log(level, "Workers of %s could not be woken: %s", ", ".join(queues), error)
            return False
        return True

    def _send_from_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="joblogs-waker", daemon=True)
            self._thread.start()
        self._condition.notify_all()

    def _run(self) -> None:
        try:
            while due := self._wait_and_take():
                # Its connection may have been idle, and ended. Once more on a new one; then they
                # will look for themselves.
                if not self._send(due, level=logging.DEBUG):
                    connections[self.alias].close()
                    self._send(due)
                with self._condition:
                    self._sending = False
                    self._condition.notify_all()
        finally:
            connections[self.alias].close()

    def _wait_and_take(self) -> list[str]:
        """Return the queues to wake once they are due; none when nothing came for a while."""
        while True:
            with self._condition:
                if not self._condition.wait_for(lambda: self._pending, timeout=IDLE):
                    self._thread = None
                    return []
                wait = self._sent_at + self._distance - time.monotonic()
                if wait <= 0:
                    self._sending = True
                    return self._take()
            # Meanwhile a caller may send them.
            time.sleep(wait)
