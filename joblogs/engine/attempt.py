"""One attempt to run a job, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from procrastinate.exceptions import JobAborted
from procrastinate.jobs import DeleteJobCondition, Status

from joblogs.engine.outcome import log_outcome, told_from_the_task
from joblogs.redaction import mask_secrets, redact

if TYPE_CHECKING:
    from procrastinate import RetryDecision
    from procrastinate.types import JSONDict

    from joblogs.engine.fetched import FetchedJob

LONGEST_MESSAGE = 2_000  # characters
LONGEST_TRACEBACK = 20_000
LONGEST_RESULT = 10_000


class NotJSONError(TypeError):
    """A task returned something that is no JSON value."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt to run a job: running until `succeed` or `fail` is called."""

    job: FetchedJob
    started_at: float = field(default_factory=time.time)
    ended_at: float = 0.0
    status: Status = Status.DOING
    #: The result as JSON, if there is one.
    result: str | None = None
    error: BaseException | None = None
    #: When and how it is to run again, if it is.
    retry: RetryDecision | None = None

    def succeed(self, result: Any) -> None:
        """End it with a result. Raises NotJSONError, and leaves it running, if that is not JSON."""
        self.result = None if result is None else _as_json(result, self.job)
        self.ended_at = time.time()
        self.status = Status.SUCCEEDED

    def fail(self, error: BaseException, retry: RetryDecision | None) -> None:
        """End it with an error, to run again when there is a decision about that."""
        self.result = None
        self.error, self.retry = error, retry
        self.ended_at = time.time()
        aborted = isinstance(error, JobAborted | asyncio.CancelledError)
        self.status = Status.ABORTED if aborted else Status.FAILED

    def row(self, delete: DeleteJobCondition) -> JSONDict:
        """Return what the SQL function joblogs_finish_jobs_v1 wants to know of it."""
        job, retry, error = self.job, self.retry, self.error
        row: JSONDict = {
            "attempts": job.attempts,
            "status": self.status.value,
            "delete": delete is DeleteJobCondition.ALWAYS
            or (delete is DeleteJobCondition.SUCCESSFUL and self.status is Status.SUCCEEDED),
            "task": job.task_name,
            "queue": job.queue,
            "started_at": self.started_at,
            "finished_at": self.ended_at,
            "outcome": self.status.value,
        }
        if self.result is not None:
            row["result"] = json.loads(self.result)
        if retry:
            retry_at = retry.retry_at.timestamp() if retry.retry_at else time.time()
            row |= {"status": "todo", "retry_at": retry_at, "priority": retry.priority}
            row |= {"to_queue": retry.queue, "lock": retry.lock}
        if error:
            row |= {
                "error_class": _class_name(error),
                "error_message": self._told(_message(error), LONGEST_MESSAGE),
                "traceback": self._told(
                    "".join(traceback.format_exception(*told_from_the_task(error))),
                    LONGEST_TRACEBACK,
                ),
            }
        return row

    def bare_row(self, reason: BaseException) -> JSONDict:
        """Return the row of a failure, for when the database cannot take the row there is."""
        return {
            "attempts": self.job.attempts,
            "status": "failed",
            "delete": False,
            "task": self.job.task_name,
            "queue": self.job.queue,
            "started_at": self.started_at,
            "finished_at": self.ended_at,
            "outcome": "failed",
            "error_class": _class_name(reason),
            "error_message": storable(
                f"It ended as {self.status.value}, which could not be written down: {reason}"
            )[:LONGEST_MESSAGE],
        }

    def log(self) -> None:
        """Leave its line in the worker's log."""
        outcome, level = self.status.value, logging.INFO
        detail: object = json.loads(self.result) if self.result is not None else None
        if self.error:
            message = mask_secrets(_message(self.error), self.job.task_kwargs)
            detail = f"{type(self.error).__name__}: {message}"
            level = logging.WARNING if self.status is Status.ABORTED else logging.ERROR
        if self.retry:
            retry_at = self.retry.retry_at
            when = retry_at.isoformat(timespec="seconds") if retry_at else "once"
            outcome = f"{outcome}, attempt {self.job.attempts + 1}, retries at {when}"
            level = logging.WARNING
        log_outcome(
            self.job,
            outcome,
            waited=self.job.waited,
            ran=self.ended_at - self.started_at,
            detail=detail,
            level=level,
            error=self.error,
        )

    def _told(self, text: str, longest: int) -> str:
        """Return a text without the secrets among the arguments, and its middle if it is long."""
        text = mask_secrets(storable(text), self.job.task_kwargs)
        if len(text) <= longest:
            return text
        half = longest // 2
        return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def storable(text: str) -> str:
    """Return a text without what PostgreSQL's text cannot hold: NUL and halves of characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _as_json(result: Any, job: FetchedJob) -> str:
    try:
        kept = mask_secrets(redact(result), job.task_kwargs)
        text = storable(json.dumps(kept, allow_nan=False, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJSONError(
            f"{job.task_name} returned {type(result).__name__}, which is not JSON ({error}); "
            "its result is kept, so it must be"
        ) from error
    # NUL is an escape in JSON, unless its backslash is one itself.
    text = re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1\\ufffd", text)
    if len(text) > LONGEST_RESULT:
        text = json.dumps(text[:LONGEST_RESULT] + "…")
    return text


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as problem:  # noqa: BLE001  # an exception of a task's can do anything
        return f"(its message cannot be had: {type(problem).__name__})"


def _class_name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"[:300]
