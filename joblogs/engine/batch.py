"""Tasks that do many jobs at a time, and tasks that end in the transaction of their work."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from procrastinate.contrib.django import app
from procrastinate.contrib.django.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procrastinate import JobContext
    from procrastinate.tasks import Task
    from procrastinate.types import JSONDict

P = ParamSpec("P")
R = TypeVar("R")

MAX_SIZE = 500


@dataclass(slots=True)
class BatchJob:
    """One of the jobs that a batch task is given."""

    #: None when it runs without a job, by `run_now`.
    id: int | None
    arguments: JSONDict
    #: Counted from 1.
    attempt: int
    _context: Callable[[], JobContext]
    #: Set this to what the job's log is to keep: any JSON value.
    result: Any = None

    @property
    def context(self) -> JobContext:
        """The job's Procrastinate context, with `should_abort()`."""
        return self._context()


@dataclass(frozen=True, slots=True)
class Batch:
    """What a worker knows of a batch task."""

    function: Callable[[Sequence[BatchJob]], None]
    max_size: int


def batch_task(
    *, max_size: int = MAX_SIZE, **options: Any
) -> Callable[[Callable[[Sequence[BatchJob]], None]], Task[..., Any, ...]]:
    """Make a task of a function that does the work of many jobs at a time.

        @batch_task(queue="default", retry=ExponentialBackoff())
        def greet(jobs: Sequence[BatchJob]) -> None:
            Greeting.objects.bulk_create([Greeting(**job.arguments) for job in jobs])

    It is deferred like any other: `greet.defer(user_id=1)`. A worker calls the function with at
    least one and at most `max_size` jobs, inside a transaction that also ends those jobs: what the
    function writes to that database is there exactly once, whatever happens to the worker. When it
    raises, or when the commit fails, nothing of it stays and its jobs are run one by one, so that
    only the bad ones fail, each by its own retry rule. So it may be called again for the same jobs.

    The other options are those of Procrastinate's `app.task`. Raises ImproperlyConfigured for
    `pass_context` (each job has its context) and for `async def`.
    """
    if "pass_context" in options:
        raise ImproperlyConfigured("A batch task has no pass_context: use the context of each job.")
    if max_size < 1:
        raise ImproperlyConfigured(f"max_size must be at least 1, not {max_size}.")

    def decorate(function: Callable[[Sequence[BatchJob]], None]) -> Task[..., Any, ...]:
        _refuse_async(function, "A batch task")

        @functools.wraps(function)
        def one(context: JobContext, /, **arguments: Any) -> Any:
            """Do one job: what stock workers and `run_now` call."""
            job = BatchJob(context.job.id, arguments, context.job.attempts + 1, lambda: context)
            with transaction.atomic(using=settings.DATABASE_ALIAS):
                function([job])
            return job.result

        one.batch = Batch(function, max_size)  # type: ignore[attr-defined]  # found by batch_of
        task: Task[..., Any, ...] = app.task(pass_context=True, **options)(one)
        return task

    return decorate


def batch_of(task: Task[..., Any, ...]) -> Batch | None:
    """Return what is to be known of a batch task; None for other tasks."""
    batch: Batch | None = getattr(task.func, "batch", None)
    return batch


def transactional(function: Callable[P, R]) -> Callable[P, R]:
    """Run a task in a transaction that also ends its job: exactly once, whatever happens.

        @app.task
        @transactional
        def charge(order_id: int) -> None: ...

    Only what the task writes to the database of the jobs is exactly once; a mail may be sent twice.
    Under a stock worker, and with `run_now`, the task runs in a transaction of its own. Raises
    ImproperlyConfigured for `async def`.
    """
    _refuse_async(function, "A transactional task")

    @functools.wraps(function)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> R:
        # Inside the worker's transaction, a part of it.
        with transaction.atomic(using=settings.DATABASE_ALIAS, savepoint=False):
            return function(*args, **kwargs)

    in_transaction.is_transactional = True  # type: ignore[attr-defined]  # found by is_transactional
    return in_transaction


def is_transactional(task: Task[..., Any, ...]) -> bool:
    """Tell whether a task asked to end in the transaction of its work."""
    return getattr(task.func, "is_transactional", False)


def _refuse_async(function: Callable[..., Any], what: str) -> None:
    if inspect.iscoroutinefunction(function):
        raise ImproperlyConfigured(
            f"{what} must be a plain function: {function.__qualname__} is async, and Django's "
            "transactions belong to threads."
        )
