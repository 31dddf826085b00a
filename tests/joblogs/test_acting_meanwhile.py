"""Who loses the right to do something to a job while they wait for it does nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import transaction
from django.test import Client

from accounts.models import User
from joblogs.models import Job
from tests.sql import somebody_waits_for_a_lock
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def take(user: User, codename: str) -> None:
    user.user_permissions.remove(Permission.objects.get(codename=codename))


LOSSES: dict[str, Callable[[User], object]] = {
    "the permission": lambda user: take(user, "retry_job"),
    "the permission to look": lambda user: take(user, "view_job"),
    "the staff flag": lambda user: User.objects.filter(pk=user.pk).update(is_staff=False),
    "the account": lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
    "everything": lambda user: user.delete(),
}


@pytest.fixture
def retry(
    staff: Callable[..., User],
    make_job: Callable[..., Job],
    in_threads: Callable[..., list[BaseException | None]],
) -> Callable[[Callable[[User], object]], tuple[Any, Job]]:
    """Let somebody retry a job that is held while they lose something; the answer and the job."""

    def with_loss(lose: Callable[[User], object]) -> tuple[Any, Job]:
        user = staff("joblogs.view_job", "joblogs.retry_job")
        job = make_job("failed")
        client = Client(raise_request_exception=False)
        client.force_login(user)
        held = threading.Event()
        answers = []

        def hold() -> None:
            with transaction.atomic():
                Job.objects.select_for_update().get(pk=job.pk)
                held.set()
                wait_for(somebody_waits_for_a_lock)
                lose(user)

        def post() -> None:
            assert held.wait(20)
            answers.append(client.post("/admin/joblogs/job/act/retry/", {"ids": job.pk}))

        assert in_threads(hold, post) == [None, None]
        return answers[0], job

    return with_loss


@pytest.mark.parametrize("loss", LOSSES)
def test_who_loses_their_rights_while_they_wait_does_nothing(
    retry: Callable[[Callable[[User], object]], tuple[Any, Job]], loss: str
) -> None:
    before: list[dict[str, Any]] = []

    def lose(user: User) -> None:
        before.extend(Job.objects.order_by("pk").values())
        LOSSES[loss](user)

    answer, _ = retry(lose)
    assert answer.status_code == 403
    assert list(Job.objects.order_by("pk").values()) == before
    assert not LogEntry.objects.exists()


def test_who_loses_nothing_while_they_wait_does_it(
    retry: Callable[[Callable[[User], object]], tuple[Any, Job]],
) -> None:
    answer, job = retry(lambda user: None)
    assert answer.status_code == 302
    assert Job.objects.get(pk=job.pk).status == "todo"
    assert LogEntry.objects.get().object_id == str(job.pk)
