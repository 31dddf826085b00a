"""Jobs as workers get them from their queues."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attr
from procrastinate import jobs

from joblogs.redaction import call_string, redact

if TYPE_CHECKING:
    from procrastinate.types import JSONDict


@attr.dataclass(frozen=True, kw_only=True)
class FetchedJob(jobs.Job):
    """A job that a worker took from its queue."""

    id: int
    #: Seconds between the moment it could have started and the moment it was fetched.
    waited: float | None = None
    #: Why its arguments cannot be used, if so. There are none then.
    unreadable: str = ""

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> FetchedJob:
        arguments, unreadable = _read(row["args"])
        return cls(
            id=row["id"],
            status="doing",
            queue=row["queue_name"],
            priority=row["priority"],
            lock=row["lock"],
            queueing_lock=row["queueing_lock"],
            task_name=row["task_name"],
            task_kwargs=arguments,
            scheduled_at=row["scheduled_at"],
            attempts=row["attempts"],
            waited=row["waited"],
            unreadable=unreadable,
        )

    @cached_property
    def redacted_arguments(self) -> JSONDict:
        arguments: JSONDict = redact(self.task_kwargs)
        return arguments

    @cached_property
    def call_string(self) -> str:
        """What the worker's own log lines call the job, redacted."""
        return call_string(self.task_name, self.id, self.redacted_arguments)

    def asdict(self) -> dict[str, Any]:
        # Procrastinate's goes down into the arguments, which may be deeper than Python allows.
        return attr.asdict(self, recurse=False)

    def log_context(self) -> JSONDict:
        """Return the fields of those lines, redacted."""
        return super().log_context() | {"task_kwargs": self.redacted_arguments}


def _read(text: str) -> tuple[JSONDict, str]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"its arguments cannot be read: {type(error).__name__}: {error}"
    if not isinstance(arguments, dict):
        return {}, "its arguments are no JSON object"
    return arguments, ""
