"""The transaction of some work that also ends the jobs it was done for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError, connections, transaction
from procrastinate.contrib.django.settings import settings

from joblogs.engine import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procrastinate.types import JSONDict


class NotOwnedError(Exception):
    """It was rolled back, as these jobs are not the worker's any more."""

    def __init__(self, job_ids: set[int]) -> None:
        super().__init__(f"Jobs that belong to somebody else by now: {sorted(job_ids)}")
        self.job_ids = job_ids


class ConnectionLostError(Exception):
    """The connection broke, so that nobody knows whether it was committed."""


def commit(
    work: Callable[[], Mapping[int, JSONDict]], *, worker_id: int | None, worker: str
) -> None:
    """Do some work and end its attempts, whose rows it returns: both or neither.

    Raises NotOwnedError, ConnectionLostError, or what the work or the commit itself raises.
    """
    connection = connections[settings.DATABASE_ALIAS]
    try:
        with transaction.atomic(using=connection.alias, durable=True):
            rows = work()
            with connection.cursor() as cursor:
                given = {"worker_id": worker_id, "worker": worker, "attempts": json.dumps(rows)}
                cursor.execute(queries.FINISH_JOBS, given)
                if others := {job for job, _verdict in cursor.fetchall()}:
                    raise NotOwnedError(others)
    except (OperationalError, InterfaceError) as error:
        if connection.is_usable():
            raise
        connection.close()
        raise ConnectionLostError from error
