"""Somebody who creates users, whatever happens: python -m tests.chaos.producer FILE [slow].

The file holds how many users a second; it is over when the file is gone. Each user defers the job
of its log. One in ten defers an ordinary job, too, another one an asynchronous one, and a third one
that takes its time, each in the same transaction; with "slow" all of them defer one of the last.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from procrastinate.tasks import Task

logger = logging.getLogger(__name__)

# After an outage what could not be created meanwhile is not made up for. Seconds.
LONGEST_LAG = 0.2
PAUSE = 0.2


def main(rate_file: Path, *, slow: bool) -> None:
    from tests.chaos.tasks import note, note_asynchronously, note_slowly

    tenths: dict[int, Task[..., Any, ...]] = {0: note, 3: note_asynchronously, 6: note_slowly}
    parent = os.getppid()
    number = 0
    due = looked_at = time.monotonic()
    rate = _rate_in(rate_file)
    while rate and os.getppid() == parent:
        beside = note_slowly if slow else tenths.get(number % 10)
        # A new name each time: nobody knows whether a commit whose answer was lost was one.
        if not _create(f"user{number}", beside):
            time.sleep(PAUSE)
        number += 1
        now = time.monotonic()
        due = max(due + 1 / rate, now - LONGEST_LAG)
        time.sleep(max(due - now, 0))
        if now - looked_at > PAUSE:
            rate, looked_at = _rate_in(rate_file), now


def _create(username: str, beside: Task[..., Any, ...] | None) -> bool:
    from django import db
    from procrastinate.exceptions import ConnectorException

    from accounts.models import User

    try:
        with db.transaction.atomic():
            User.objects.create_user(username)
            if beside:
                beside.defer()
    except (db.Error, ConnectorException) as error:
        logger.warning("%s was not created: %s", username, str(error).strip())
        db.connection.close()
        return False
    return True


def _rate_in(file: Path) -> float:
    """Return users a second, or 0 when it is over."""
    try:
        return float(file.read_text())
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    django.setup()
    main(Path(sys.argv[1]), slow="slow" in sys.argv[2:])
