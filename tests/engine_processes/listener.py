"""Somebody who listens as workers do."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from tests.processes import database_url
from tests.waiting import wait_for

if TYPE_CHECKING:
    from typing import Self

ANY = "any queue"
CHANNEL_OF_ANY = "procrastinate_any_queue_v1"
THE_END = "the end"


class Notice(NamedTuple):
    #: Or ANY.
    queue: str
    #: As Procrastinate's trigger tells it; ours leaves it out.
    job_id: int | None
    heard_at: float
    #: How many jobs there were to be seen when it was heard.
    jobs: int


class Listener:
    """Hears notices in a thread, from its start until `heard` is called."""

    def __init__(self, *queues: str) -> None:
        self._queues = {f"procrastinate_queue_v1#{queue}": queue for queue in queues}
        self._queues[CHANNEL_OF_ANY] = ANY
        self._notices: list[Notice] = []

    def __enter__(self) -> Self:
        self._connection = psycopg.connect(database_url(), autocommit=True)
        self._eyes = psycopg.connect(database_url(), autocommit=True)
        for channel in self._queues:
            self._connection.execute(f'LISTEN "{channel}"')
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heard()
        self._connection.close()
        self._eyes.close()

    def heard(self) -> list[Notice]:
        """Return the notices until now, and hear no more."""
        if self._thread.is_alive():
            with psycopg.connect(database_url(), autocommit=True) as other:
                other.execute("SELECT pg_notify(%s, %s)", [CHANNEL_OF_ANY, THE_END])
            self._thread.join()
        return self._notices

    def wait_for(self, queue: str, *, jobs: int) -> Notice:
        """Return the first notice for a queue that was heard when there were so many jobs."""

        def found() -> list[Notice]:
            return [each for each in self._notices if (each.queue, each.jobs) == (queue, jobs)]

        return wait_for(found)[0]

    def _listen(self) -> None:
        for notice in self._connection.notifies():
            if notice.payload == THE_END:
                return
            heard_at = time.monotonic()
            row = self._eyes.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()
            job_id = json.loads(notice.payload)["job_id"]
            queue = self._queues[notice.channel]
            self._notices.append(Notice(queue, job_id, heard_at, int(row[0]) if row else 0))
