"""Workers in the database that there are none of."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from joblogs.models import JobWorker


def add_worker(
    *,
    stock: bool = False,
    silent_for: int = 0,
    queues: list[str] | None = None,
    state: str = "running",
    host: str = "somewhere",
    pid: int = 1,
) -> int:
    """Register a worker as it does itself, and return its id."""
    seen_at = timezone.now() - timedelta(seconds=silent_for)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (%s) RETURNING id", [seen_at]
        )
        [pk] = cursor.fetchone()
    if not stock:
        JobWorker.objects.create(
            worker_id=pk,
            name="worker",
            host=host,
            pid=pid,
            queues=queues,
            concurrency=10,
            running=0,
            version="1.2.3",
            state=state,
            memory=64 * 1024**2,
            holds_lock=True,
            started_at=seen_at - timedelta(hours=1),
            seen_at=seen_at,
        )
    return int(pk)
