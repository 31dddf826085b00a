"""What a job knows about itself, and that only verbs change it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from procrastinate.contrib.django.exceptions import ReadOnlyModel

from joblogs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def test_a_job_is_about_the_user_it_names(make_job: Callable[..., Job]) -> None:
    assert make_job(args={"user_id": 71}).user_id == 71
    for other in (True, "71", 2**63, 0, -1, None, [71]):
        assert make_job(args={"user_id": other}).user_id is None


def test_a_job_is_scheduled_until_its_time_comes(make_job: Callable[..., Job]) -> None:
    job = make_job(schedule_in={"hours": 1})
    now = timezone.now()
    assert job.is_scheduled(now)
    assert not job.is_scheduled(now + timedelta(hours=2))


def test_queues_with_jobs_are_named(make_job: Callable[..., Job]) -> None:
    assert Job.objects.queue_names() == []
    for queue in ("low", "high", "low", "a b"):
        make_job(queue=queue)
    assert Job.objects.queue_names() == ["a b", "high", "low"]


def test_no_more_than_a_hundred_queues_are_named(make_job: Callable[..., Job]) -> None:
    names = [f"queue-{number:03}" for number in range(105)]
    for name in names:
        make_job(queue=name)
    assert Job.objects.queue_names() == names[:100]


def test_jobs_are_changed_by_nothing_but_verbs(make_job: Callable[..., Job]) -> None:
    job = make_job("failed")
    for jobs in (Job.objects.all(), Job.objects.filter(pk=job.pk)):
        with pytest.raises(ReadOnlyModel, match="retry, cancel, abort, run_now, delete_ended"):
            jobs.update(status="todo")
        with pytest.raises(ReadOnlyModel, match="by their verbs alone"):
            jobs.delete()
    assert Job.objects.get().status == "failed"
