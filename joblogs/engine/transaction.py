"""The transaction of some work that also ends the jobs it was done for."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from django.db import OperationalError, connections, transaction
from procrastinate.contrib.django.settings import settings

from joblogs.engine import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper
    from procrastinate.types import JSONDict

logger = logging.getLogger(__name__)


class NotOwnedError(Exception):
    """It was rolled back, as these jobs are not the worker's any more."""

    def __init__(self, job_ids: set[int]) -> None:
        super().__init__(f"Jobs that belong to somebody else by now: {sorted(job_ids)}")
        self.job_ids = job_ids


class NotConnectedError(Exception):
    """There is no connection to be had, so that nothing was done."""


class ConnectionLostError(Exception):
    """The connection broke, so that nobody knows whether it was committed."""


def commit(
    work: Callable[[], Mapping[int, JSONDict]], *, worker_id: int | None, worker: str
) -> None:
    """Do some work and end its attempts, whose rows it returns: both or neither.

    Raises NotOwnedError, NotConnectedError, ConnectionLostError, or what the work or the commit
    itself raises.
    """
    connection = connections[settings.DATABASE_ALIAS]
    raw = None
    committed: list[bool] = []
    try:
        with transaction.atomic(using=connection.alias, durable=True):
            raw = connection.connection
            # The first of the hooks, so it tells a commit that fails from a hook that does.
            transaction.on_commit(lambda: committed.append(True), using=connection.alias)
            rows = work()
            _finish(connection, rows, worker_id, worker)
    except Exception as error:
        if committed:
            logger.exception("After the commit of jobs %s something failed.", sorted(rows))
        elif raw is None and isinstance(error, OperationalError):
            raise NotConnectedError from error
        elif raw is None or raw.closed:
            raise ConnectionLostError from error
        else:
            raise


def _finish(
    connection: BaseDatabaseWrapper,
    rows: Mapping[int, JSONDict],
    worker_id: int | None,
    worker: str,
) -> None:
    given = {"worker_id": worker_id, "worker": worker, "attempts": json.dumps(rows)}
    with connection.cursor() as cursor:
        cursor.execute(queries.FINISH_JOBS, given)
        if others := {job for job, _verdict in cursor.fetchall()}:
            raise NotOwnedError(others)
