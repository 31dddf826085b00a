"""The threads in which a worker runs plain functions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

from django.db import connections


class JobThreads(ThreadPoolExecutor):
    """As many threads as the worker has slots, each with database connections of its own."""

    def __init__(self, size: int) -> None:
        super().__init__(size, thread_name_prefix="job", initializer=self._note_start)
        self._started = 0

    def _note_start(self) -> None:
        self._started += 1

    def close(self) -> None:
        """Close the connections of all threads that are idle, and end them."""
        # Each waits for the others, so that no thread does this twice and another one not at all,
        # and none is added, which would do it in place of one that has connections.
        self._max_workers = started = self._started
        barrier = threading.Barrier(started) if started else None

        def close_connections() -> None:
            if barrier:
                with suppress(threading.BrokenBarrierError):
                    barrier.wait(timeout=1)
            connections.close_all()

        wait([self.submit(close_connections) for _ in range(started)], timeout=2)
        self.shutdown(wait=False)
