"""`manage.py procrastinate worker`, as it is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from accounts.models import User
from joblogs.models import Job, UserLog
from joblogs.tasks import create_user_log
from tests.forking import ROOT
from tests.jobs import jobs_of
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_writes_the_log_and_stops_with_status_0(
    start_worker: Callable[..., WorkerProcess],
) -> None:
    worker = start_worker()
    user = User.objects.create_user("alice")
    wait_for(lambda: UserLog.objects.filter(user=user).exists())
    [job] = jobs_of(user.pk)
    wait_for(lambda: f"create_user_log job={job.pk} succeeded" in worker.log)
    assert worker.stop() == 0
    assert re.search(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO joblogs\.jobs: ", worker.log, re.MULTILINE
    )
    assert "Starting job" not in worker.log
    assert "Traceback" not in worker.log


def test_users_created_by_many_at_once_get_a_job_and_a_log_each(
    start_worker: Callable[..., WorkerProcess],
    in_threads: Callable[..., list[BaseException | None]],
) -> None:
    worker = start_worker("-c", "4")

    def create(number: int) -> None:
        for copy in range(5):
            User.objects.create_user(f"user{number}-{copy}")

    assert in_threads(*(lambda n=n: create(n) for n in range(20))) == [None] * 20
    wait_for(lambda: UserLog.objects.count() >= 100)
    assert worker.stop() == 0

    users = sorted(User.objects.values_list("pk", flat=True))
    assert len(users) == 100
    assert sorted(UserLog.objects.values_list("user_id", flat=True)) == users
    jobs = Job.objects.filter(task_name=create_user_log.name)
    assert sorted(job.args["user_id"] for job in jobs) == users
    assert {job.status for job in jobs} == {"succeeded"}


def test_a_worker_takes_only_from_the_queues_it_is_given(
    start_worker: Callable[..., WorkerProcess],
) -> None:
    user = User.objects.create_user("alice")
    create_user_log.configure(queue="low").defer(user_id=user.pk)
    create_user_log.configure(queue="high").defer(user_id=user.pk)
    worker = start_worker("-q", "high,default", "--one-shot")
    assert worker.process.wait(timeout=90) == 0
    assert [(job.queue_name, job.status) for job in jobs_of(user.pk)] == [
        ("default", "succeeded"),
        ("low", "todo"),
        ("high", "succeeded"),
    ]


def test_jobs_of_higher_priority_go_first(start_worker: Callable[..., WorkerProcess]) -> None:
    user = User.objects.create_user("alice")
    urgent = create_user_log.configure(priority=10).defer(user_id=user.pk)
    worker = start_worker("-q", "default", "-c", "1", "--one-shot")
    assert worker.process.wait(timeout=90) == 0
    order = re.findall(r"create_user_log job=(\d+)", worker.log)
    assert order == [str(urgent), str(jobs_of(user.pk)[0].pk)]


def test_a_worker_without_a_database_says_so_in_one_line() -> None:
    environment = os.environ | {
        "DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/nothing",
        "SECRET_KEY": "only for tests",
        "DJANGO_SETTINGS_MODULE": "project.settings",
    }
    result = subprocess.run(
        [sys.executable, "manage.py", "procrastinate", "worker"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    assert "127.0.0.1:1" in line
    assert "refused" in line.lower()
    assert "secret" not in line
