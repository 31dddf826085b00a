"""A limit to the time that a task may take."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from procrastinate.tasks import Task
from psycopg.errors import QueryCanceled
from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

# What statement_timeout is set to, in milliseconds: time to set it again, and all it can hold.
SHORTEST, LONGEST = 100, 2**31 - 1
# It is set again when what is set is longer than what is left, so many times.
TOO_LONG = 1.1
MILLISECONDS = {"": 1, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
# SHOW and SET are no queries: what must come first in a transaction still can. A pooler makes up a
# process id of its own; behind it the session is not ours to set.
SET_FOR = {
    "TRANSACTION": "SHOW statement_timeout; SET LOCAL statement_timeout = '{value}'",
    "SESSION": "SHOW statement_timeout; SELECT set_config('statement_timeout', '{value}', false)"
    " WHERE pg_backend_pid() = {pid}",
}
ENDS_OF_SAVEPOINTS = ("ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT")


class TimeLimitExceededError(Exception):
    """A task took longer than its limit: it has failed, and is retried by its rule."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"It took longer than its limit of {seconds} s.")


def time_limit(seconds: float) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Limit the seconds that each run of a task may take.

        @app.task(queue="mail", retry=ExponentialBackoff())
        @time_limit(30)
        def send(...): ...

    When they are over an `async def` is cancelled. A plain function cannot be: its statement in the
    database is ended, a further one is refused, and `check_time` raises. Either way the task fails
    with TimeLimitExceededError. Of limits inside each other the nearer one counts; a batch task has
    one for each call, whatever the number of its jobs.

    Goes below `@app.task` or `@batch_task`, on either side of `@transactional`. Raises
    ImproperlyConfigured for tasks, and for anything but a number above 0.
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds < math.inf:
        raise ImproperlyConfigured(
            f"A time limit is a number of seconds above 0, as in @time_limit(30), not {seconds!r}."
        )

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if isinstance(function, Task):
            raise ImproperlyConfigured(
                f"{function.name} is a task already: write @time_limit below @app.task."
            )
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", _limited_coroutine(function, seconds))
        return _limited_function(function, seconds)

    return decorate


def remaining() -> float | None:
    """Return the seconds that are left, for the time-outs of calls to others; None without a limit.

    Raises TimeLimitExceededError when there are none left.
    """
    limit = _current.get()
    return limit.check() if limit else None


def check_time() -> None:
    """Raise TimeLimitExceededError when the time of the running task is up."""
    remaining()


@dataclass(frozen=True, slots=True)
class _Limit:
    """The limit of one run of a task."""

    seconds: float
    deadline: float
    #: The thread that this run has to itself. In others each statement puts back what it sets.
    thread: int | None
    kept: dict[str, _StatementTimeout] = field(default_factory=dict)

    @classmethod
    def start(cls, seconds: float, *, thread: int | None = None) -> _Limit:
        """Start the time, inside that of the limit around it if there is one."""
        deadline = time.monotonic() + seconds
        around = _current.get()
        if around and around.deadline < deadline:
            seconds, deadline = around.seconds, around.deadline
        return cls(seconds, deadline, thread)

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def check(self) -> float:
        """Return the seconds that are left; raises TimeLimitExceededError when there are none."""
        if (left := self.left) > 0:
            return left
        raise TimeLimitExceededError(self.seconds)

    def raise_if_due_to_it(self, error: Exception) -> None:
        """Raise TimeLimitExceededError from the end of a statement that took too long."""
        cause = error.__cause__ if isinstance(error, DatabaseError) else error
        if isinstance(cause, QueryCanceled) and self.left <= 0:
            raise TimeLimitExceededError(self.seconds) from error

    def warn_if_over(self, function: Callable[..., Any]) -> None:
        if self.left <= 0:
            told = function.__qualname__, -self.left, self.seconds
            logger.warning("%s was not to be stopped: it ended %.1f s after its %s s.", *told)

    def timeout_of(self, connection: BaseDatabaseWrapper) -> _StatementTimeout:
        kept = self.kept.get(connection.alias)
        if kept and kept.raw is connection.connection:
            return kept
        return _StatementTimeout(connection)

    def keep(self, timeout: _StatementTimeout, connection: BaseDatabaseWrapper) -> bool:
        """Keep it until the end, if nobody else can come by the connection before."""
        is_own = self.thread == threading.get_ident() and not getattr(connection, "pool", None)
        if is_own:
            self.kept[connection.alias] = timeout
        return is_own


_current: ContextVar[_Limit | None] = ContextVar("time limit", default=None)


def _limited_function(function: Callable[P, R], seconds: float) -> Callable[P, R]:
    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        limit = _Limit.start(seconds, thread=threading.get_ident())
        for connection in connections.all(initialized_only=True):
            _watch(connection)
        token = _current.set(limit)
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            limit.raise_if_due_to_it(error)
            raise
        finally:
            _current.reset(token)
            for timeout in limit.kept.values():
                timeout.put_back()
        limit.warn_if_over(function)
        return result

    return limited


def _limited_coroutine(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    @functools.wraps(function)
    async def limited(*args: Any, **kwargs: Any) -> Any:
        limit = _Limit.start(seconds)
        token = _current.set(limit)
        timeout = asyncio.timeout(limit.left)
        try:
            # Tells its own cancellation from those that others ask for, which stay cancellations.
            async with timeout:
                result = await function(*args, **kwargs)
        except Exception as error:
            if isinstance(error, TimeoutError) and timeout.expired():
                raise TimeLimitExceededError(limit.seconds) from error
            limit.raise_if_due_to_it(error)
            raise
        finally:
            _current.reset(token)
        limit.warn_if_over(function)
        return result

    return limited


@receiver(connection_created)
def _watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have all statements of a connection pass by `_within_limit`, if it is PostgreSQL's."""
    if connection.vendor == "postgresql" and _within_limit not in connection.execute_wrappers:
        # First: whoever adds one for a while takes the last one away again.
        connection.execute_wrappers.insert(0, _within_limit)


def _within_limit(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute a statement in the time that is left, if there is a limit."""
    limit = _current.get()
    if limit is None:
        return execute(sql, params, many, context)
    connection: BaseDatabaseWrapper = context["connection"]
    timeout = limit.timeout_of(connection)
    try:
        if isinstance(sql, str) and sql.startswith(ENDS_OF_SAVEPOINTS):
            # Never refused: Django would take for rolled back what is not.
            timeout.expect_rollback()
            return execute(sql, params, many, context)
        left = limit.check()
        with connection.wrap_database_errors:
            timeout.shorten(left)
        return execute(sql, params, many, context)
    except Exception as error:
        limit.raise_if_due_to_it(error)
        raise
    finally:
        if not limit.keep(timeout, connection):
            timeout.put_back()


class _StatementTimeout:
    """The statement_timeout of a connection, set for its transaction or else for the session."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.raw: psycopg.Connection[tuple[str]] = connection.connection
        self._connection = connection
        # By scope: what it was before, and its milliseconds now.
        self._set: dict[str, tuple[str, float]] = {}

    def shorten(self, seconds: float) -> None:
        """Let no statement take longer; what somebody else has set, and is shorter, stays."""
        status = self.raw.info.transaction_status
        if status is TransactionStatus.IDLE:
            self._set.pop("TRANSACTION", None)
        by_itself = status is TransactionStatus.IDLE and self.raw.autocommit
        scope = "SESSION" if by_itself else "TRANSACTION"
        wanted = min(max(math.ceil(seconds * 1_000), SHORTEST), LONGEST)
        if scope in self._set and self._set[scope][1] <= wanted * TOO_LONG:
            return
        before = self._exchange(scope, f"{wanted}ms")
        if 0 < (shorter := _milliseconds(before)) < wanted:
            self._exchange(scope, before)
            wanted = shorter
        first, _ = self._set.get(scope, (before, wanted))
        self._set[scope] = first, wanted

    def expect_rollback(self) -> None:
        """Set it again before the next statement: it may go with the savepoint."""
        if "TRANSACTION" in self._set:
            self._set["TRANSACTION"] = self._set["TRANSACTION"][0], math.inf

    def put_back(self) -> None:
        """Set what was set before; closes the connection when that cannot be done."""
        if self.raw.closed or self.raw is not self._connection.connection:
            return
        status = self.raw.info.transaction_status
        try:
            if "SESSION" in self._set:
                # Not in a transaction that has failed, whose end would bring back ours.
                self._exchange("SESSION", self._set["SESSION"][0])
            elif "TRANSACTION" in self._set and status is TransactionStatus.INTRANS:
                self._exchange("TRANSACTION", self._set["TRANSACTION"][0])
        except psycopg.Error as error:
            logger.warning("A connection is closed that keeps its statement_timeout: %s", error)
            self.raw.close()
            self._connection.close()

    def _exchange(self, scope: str, value: str) -> str:
        """Set it, and return what it was, in one round trip."""
        query = SET_FOR[scope].format(value=value, pid=self.raw.info.backend_pid)
        row = self.raw.execute(query.encode(), prepare=False).fetchone()
        return row[0] if row else "0"


def _milliseconds(setting: str) -> int:
    number = setting.rstrip("dhimns")
    return int(number) * MILLISECONDS[setting[len(number) :]]
