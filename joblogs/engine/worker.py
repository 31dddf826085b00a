"""The worker behind `manage.py procrastinate worker`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from procrastinate.jobs import Status
from procrastinate.worker import Worker as StockWorker

from joblogs.engine.outcome import log_outcome
from joblogs.redaction import redact

if TYPE_CHECKING:
    from procrastinate.exceptions import JobRetry
    from procrastinate.job_context import JobContext, JobResult
    from procrastinate.types import JSONDict


class Worker(StockWorker):
    def _log_extra(self, *args: Any, **kwargs: Any) -> JSONDict:
        """Return the fields of a log line; the job's are redacted already."""
        extra: JSONDict = super()._log_extra(*args, **kwargs)
        return extra | {"result": redact(extra["result"])} if "result" in extra else extra

    def _log_job_outcome(
        self,
        status: Status,
        context: JobContext,
        job_result: JobResult | None,
        job_retry: JobRetry | None,
        exc_info: bool | BaseException = False,
    ) -> None:
        job = context.job
        result = job_result.result if job_result else None
        ended_at = job_result.end_timestamp if job_result else None
        error = exc_info if isinstance(exc_info, BaseException) else None

        outcome, detail = str(status.value), result
        if error:
            detail = f"{type(error).__name__}: {error}"
        if job_retry:
            retry_at = job_retry.retry_decision.retry_at
            when = retry_at.isoformat(timespec="seconds") if retry_at else "once"
            outcome = f"{outcome}, attempt {job.attempts + 1}, retries at {when}"
        log_outcome(
            job,
            outcome,
            waited=getattr(job, "waited", None),
            ran=(ended_at or context.start_timestamp) - context.start_timestamp,
            detail=detail,
            level=_level(status, retries=job_retry is not None),
            error=error,
        )


def _level(status: Status, *, retries: bool) -> int:
    if status == Status.SUCCEEDED:
        return logging.INFO
    if retries or status == Status.ABORTED:
        return logging.WARNING
    return logging.ERROR
