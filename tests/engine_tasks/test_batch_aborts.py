"""What an abort means for the jobs of a batch; the worker runs in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from procrastinate.exceptions import JobAborted

from joblogs.models import JobLog
from tests.jobs import outcomes, statuses
from tests.sql import elsewhere
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblogs.engine.batch import BatchJob

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("place", [0, 2], ids=["first", "last"])
def test_one_job_of_a_batch_is_aborted_while_it_runs(
    batch: Callable[..., Any], run_worker: Callable[..., None], place: int
) -> None:
    def obey(jobs: Sequence[BatchJob]) -> None:
        for job in jobs:
            Group.objects.create(name=str(job.arguments["n"]))
            if job.arguments["n"] == place:
                elsewhere(
                    "UPDATE procrastinate_jobs SET abort_requested = true WHERE id = %s", job.id
                )
                wait_for(job.context.should_abort)
            if job.context.should_abort():
                raise JobAborted

    task = batch(obey, retry=True)
    job_ids = [task.defer(n=n) for n in range(3)]
    run_worker(until=lambda: JobLog.objects.count() == 3)
    expected = ["aborted" if n == place else "succeeded" for n in range(3)]
    assert statuses(*job_ids) == expected
    assert [outcomes(pk) for pk in job_ids] == [[(1, outcome)] for outcome in expected]
    made = set(Group.objects.values_list("name", flat=True))
    assert made == {str(n) for n in range(3) if n != place}


def test_a_batch_that_outlives_a_stop_is_told_for_each_job(
    batch: Callable[..., Any], run_worker: Callable[..., None]
) -> None:
    begun: list[int] = []

    def obey(jobs: Sequence[BatchJob]) -> None:
        begun.append(len(jobs))
        wait_for(lambda: all(job.context.should_abort() for job in jobs))
        raise JobAborted

    task = batch(obey, retry=3)
    job_ids = [task.defer(n=n) for n in range(3)]
    run_worker(until=lambda: begun, shutdown_graceful_timeout=0.1)
    # Given back, as the worker is to blame; it begins nothing any more.
    assert begun == [3]
    assert statuses(*job_ids) == ["todo"] * 3
    assert [outcomes(pk) for pk in job_ids] == [[(1, "aborted")]] * 3
