"""How jobs are fetched."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attr
from procrastinate import jobs
from procrastinate.manager import JobManager as StockJobManager

from joblogs.redaction import call_string, redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procrastinate.types import JSONDict

FETCH_JOB = (Path(__file__).parent / "sql" / "fetch_job.sql").read_text()


@attr.dataclass(frozen=True, kw_only=True)
class FetchedJob(jobs.Job):
    """A job that a worker took from its queue."""

    #: Seconds between the moment it could have started and the moment it was fetched.
    waited: float | None = None

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


class JobManager(StockJobManager):
    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> FetchedJob | None:
        """Take the next job of these queues (of all, when None), or None when there is none."""
        row = await self.connector.execute_query_one_async(
            query=FETCH_JOB,
            queues=list(queues) if queues else None,
            worker_id=worker_id,
        )
        if row["id"] is None:
            return None
        job = jobs.Job.from_row(row)
        return FetchedJob(**attr.asdict(job, recurse=False), waited=row["waited"])
