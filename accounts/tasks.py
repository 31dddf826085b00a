"""Background tasks about accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.sessions.models import Session
from django.utils import timezone
from procrastinate.contrib.django import app

from joblogs.queues import LOW

if TYPE_CHECKING:
    from procrastinate import JobContext

SESSIONS_PER_STATEMENT = 5_000


@app.periodic(cron="17 3 * * *")
@app.task(queue=LOW, pass_context=True, queueing_lock="delete_expired_sessions")
def delete_expired_sessions(context: JobContext, timestamp: int) -> str:
    """Delete the sessions that have expired, so many a statement: none locks or runs for long.

    What is left when the job is aborted, the next night's deletes.
    """
    expired = Session.objects.filter(expire_date__lt=timezone.now()).order_by("expire_date")
    deleted = 0
    while not context.should_abort():
        batch = expired.values("pk")[:SESSIONS_PER_STATEMENT]
        found, _ = Session.objects.filter(pk__in=batch).delete()
        deleted += found
        if found < SESSIONS_PER_STATEMENT:
            break
    return f"deleted {deleted} expired sessions"
