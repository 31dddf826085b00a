"""The one log line that every job leaves when it ends."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from joblogs.redaction import redact

if TYPE_CHECKING:
    from types import TracebackType

    from procrastinate.jobs import Job

logger = logging.getLogger("joblogs.jobs")

LONGEST_ARGUMENTS = 1_000  # characters
LONGEST_DETAIL = 250

# The modules through which a worker calls a task, each time in the same way.
AROUND_TASKS = ("joblogs.engine.", "procrastinate.", "asgiref.", "asyncio.", "concurrent.")


def log_outcome(
    job: Job,
    outcome: str,
    *,
    waited: float | None,
    ran: float,
    detail: object = None,
    level: int = logging.INFO,
    error: BaseException | None = None,
) -> None:
    """Log task, job id, outcome, seconds waited and run, arguments, and a detail if there is one.

    Arguments are redacted, and so is a detail that is a JSON value. The traceback of `error`
    follows.
    """
    arguments = json.dumps(redact(job.task_kwargs), default=str)
    line = " ".join(
        [
            job.task_name,
            f"job={job.id if job.id is not None else '-'}",
            outcome,
            f"waited={_seconds(waited)}",
            f"ran={_seconds(ran)}",
            f"args={_shortened(arguments, LONGEST_ARGUMENTS)}",
        ]
    )
    if detail is not None:
        # repr() keeps a line break in the detail from making a second line.
        line += f" detail={_shortened(repr(redact(detail)), LONGEST_DETAIL)}"
    logger.log(level, line, exc_info=told_from_the_task(error) if error else None)


def told_from_the_task(
    error: BaseException,
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """Return an error with its traceback, from where it leaves what all tasks run in."""
    start = error.__traceback__
    while start and start.tb_frame.f_globals.get("__name__", "").startswith(AROUND_TASKS):
        start = start.tb_next
    return type(error), error, start or error.__traceback__


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{max(value, 0):.3f}s"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
