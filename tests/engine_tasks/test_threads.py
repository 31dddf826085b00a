"""The threads of a worker's plain functions, at their end."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from joblogs.engine.threads import JobThreads

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_thread_closes_its_connections_though_it_is_hardly_done() -> None:
    may_begin = threading.Event()

    def raw_connection() -> Any:
        may_begin.wait()
        connection.ensure_connection()
        return connection.connection

    threads = JobThreads(2)
    job = threads.submit(raw_connection)
    # In the thread, between the job's end and its being idle again.
    job.add_done_callback(lambda _: threading.Event().wait(0.3))
    may_begin.set()
    raw = job.result()
    threads.close()
    assert raw.closed
