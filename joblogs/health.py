"""Whether the database answers, workers are alive, and no job that is ready waits too long."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.models.functions import Now

from joblogs.models import JobWorker, Worker
from joblogs.models.job import SQL
from joblogs.models.job_worker import SILENT_AFTER
from joblogs.models.worker import STOCK_SILENT_AFTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

# What workers are in that live and take no new jobs.
STANDING_BY = (JobWorker.State.QUIET.value, JobWorker.State.DRAINING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What has to be there."""

    workers: int = 1
    #: Each of them has to be served by so many workers; the age of jobs in others does not matter.
    queues: tuple[str, ...] = ()
    #: How many seconds a job may be ready without being started; None for any time.
    age: float | None = 300.0
    #: Only workers of this host, and of this process, count.
    host: str | None = None
    pid: int | None = None


class Check(NamedTuple):
    name: str
    ok: bool
    message: str
    #: What was found, None if nothing was, and how much or little it has to be.
    value: float | None
    limit: float


def examine(limits: Limits, timeout: float) -> list[Check]:
    """Look at everything, for `timeout` seconds at most.

    The first check is about the database. If that one fails there are no others.
    """
    answer: Future[list[Check]] = Future()

    def ask() -> None:
        try:
            answer.set_result(_ask(limits, timeout))
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            answer.set_exception(error)

    # In a thread that can be left behind: nothing else ends the wait for the address of a host, or
    # for a server that falls silent in the middle of an answer.
    threading.Thread(target=ask, name="health", daemon=True).start()
    try:
        return answer.result(timeout)
    except TimeoutError:
        return [_unanswered(timeout)]


def _ask(limits: Limits, timeout: float) -> list[Check]:
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        started_at = time.monotonic()
        with transaction.atomic(), connection.cursor() as cursor:
            # Whoever gives up leaves nothing running.
            milliseconds = {"milliseconds": f"{max(timeout * 1000, 1):.0f}"}  # 0 stands for no end
            cursor.execute((SQL / "end_statements.sql").read_text(), milliseconds)
            took = time.monotonic() - started_at
            message = f"answered in {took * 1000:.0f} ms, at most {timeout:g} s"
            return [
                Check("database", True, message, round(took, 4), timeout),
                *_workers(limits),
                *([] if limits.age is None else [_backlog(connection, limits.queues, limits.age)]),
            ]
    except Error as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            return [_unanswered(timeout)]
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return [Check("database", False, reason, None, timeout)]
    finally:
        connection.close()


def _unanswered(timeout: float) -> Check:
    return Check("database", False, f"gave no answer within {timeout:g} s", None, timeout)


def _workers(limits: Limits) -> list[Check]:
    """Count those who were heard of lately, by the clock of the database."""
    ours = JobWorker.objects.filter(seen_at__gt=Now() - SILENT_AFTER)
    where = ""
    if limits.host is not None:
        ours = ours.filter(host=limits.host)
        where = " on this host"
    if limits.pid is not None:
        ours = ours.filter(pid=limits.pid)
        where = f" in process {limits.pid} of this host"
    known = list(ours.only("queues", "state"))
    stock = 0
    if limits.host is None:
        silent = Now() - STOCK_SILENT_AFTER
        others = Worker.objects.filter(last_heartbeat__gt=silent)
        stock = others.exclude(pk__in=JobWorker.objects.values("pk")).count()

    alive = len(known) + stock
    states = Counter(worker.state for worker in known)
    groups = [(stock, "of stock Procrastinate"), *((states[state], state) for state in STANDING_BY)]
    notes = [f"{count} {group}" for count, group in groups if count]
    message = f"{alive} alive{where}{_in_brackets(notes)}, at least {limits.workers}"
    checks = [Check("workers", alive >= limits.workers, message, alive, limits.workers)]

    takers = [worker for worker in known if worker.state not in STANDING_BY]
    notes = [f"perhaps also by {stock} of stock Procrastinate"] if stock else []
    for queue in limits.queues:
        served = sum(worker.queues is None or queue in worker.queues for worker in takers)
        message = f"served by {served}{where}{_in_brackets(notes)}, at least {limits.workers}"
        checks.append(
            Check(f"queue {queue}", served >= limits.workers, message, served, limits.workers)
        )
    return checks


def _backlog(connection: BaseDatabaseWrapper, queues: Sequence[str], limit: float) -> Check:
    """Look for the job that is ready longest: see joblogs_oldest_ready_v1."""
    with connection.cursor() as cursor:
        cursor.execute((SQL / "oldest_ready.sql").read_text(), {"queues": list(queues) or None})
        row = cursor.fetchone()
    if row is None:
        return Check("oldest ready job", True, f"none, at most {limit:g} s", None, limit)
    queue, job_id, waited = row
    message = f"{job_id} in {queue} waits for {waited:.0f} s, at most {limit:g} s"
    return Check("oldest ready job", waited <= limit, message, round(waited, 1), limit)


def _in_brackets(notes: Sequence[str]) -> str:
    return f" ({', '.join(notes)})" if notes else ""
