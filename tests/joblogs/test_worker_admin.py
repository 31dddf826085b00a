"""Workers and periodic tasks in the admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from procrastinate.contrib.django import app

from joblogs.models import PeriodicTask, Worker
from joblogs.periodic import schedules
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

    from accounts.models import User
    from joblogs.models import Job

pytestmark = pytest.mark.django_db

WORKERS = "/admin/joblogs/worker/"
PERIODIC = "/admin/joblogs/periodictask/"


def note_deferral(task_name: str, timestamp: int, job_id: int | None = None) -> None:
    execute(
        "INSERT INTO procrastinate_periodic_defers (task_name, defer_timestamp, job_id)"
        " VALUES (%s, %s, %s)",
        *(task_name, timestamp, job_id),
    )


@pytest.fixture
def worker(make_job: Callable[..., Job]) -> int:
    """A worker that runs two jobs and has run another."""
    [(pk,)] = execute("SELECT worker_id FROM procrastinate_register_worker_v1()")
    for state in ("doing", "doing", "succeeded"):
        job = make_job(state)
        execute("UPDATE procrastinate_jobs SET worker_id = %s WHERE id = %s", pk, job.pk)
    return int(pk)


@pytest.fixture
def periodic_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a task that is due every minute, and the only one."""
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})

    @app.periodic(cron="* * * * *")
    @app.task(name="tests.every_minute")
    def every_minute(timestamp: int) -> None: ...

    yield "tests.every_minute"
    del app.tasks["tests.every_minute"]


def test_workers_are_listed_with_the_jobs_they_run(as_administrator: Client, worker: int) -> None:
    response: Any = as_administrator.get(WORKERS)
    [listed] = response.context["cl"].result_list
    assert (listed.pk, listed.running, listed.is_alive) == (worker, 2, True)
    page = as_administrator.get(f"{WORKERS}{worker}/change/").content.decode()
    assert f"Worker {worker}" in page
    assert 'name="_save"' not in page


@pytest.mark.parametrize(("silent_for", "is_alive"), [(29, True), (31, False)])
def test_a_worker_that_is_silent_is_not_alive(silent_for: int, is_alive: bool) -> None:
    heard_of = timezone.now() - timedelta(seconds=silent_for)
    assert Worker(last_heartbeat=heard_of).is_alive == is_alive


def test_periodic_tasks_are_listed_also_when_they_never_ran(
    as_administrator: Client, periodic_task: str
) -> None:
    page = as_administrator.get(PERIODIC).content.decode()
    assert periodic_task in page
    assert "<code>* * * * *</code>" in page
    assert "never" in page


def test_a_periodic_task_is_shown_with_its_last_job(
    as_administrator: Client, make_job: Callable[..., Job], periodic_task: str
) -> None:
    job = make_job("succeeded")
    note_deferral(periodic_task, 60, job.pk)
    note_deferral("tasks.of_old_code", 120)
    by_name = {schedule.task_name: schedule for schedule in schedules()}
    known, old = by_name[periodic_task], by_name["tasks.of_old_code"]
    assert known.last_job_id == job.pk
    assert known.last_at is not None
    assert known.next_at is not None
    assert (known.last_at.timestamp(), known.next_at.timestamp() % 60) == (60, 0)
    assert (old.cron, old.next_at, old.last_job_id) == (None, None, None)
    page = as_administrator.get(PERIODIC).content.decode()
    assert f'<a href="/admin/joblogs/job/{job.pk}/change/">{job.pk}</a>' in page
    assert "not in the code any more" in page


@pytest.mark.parametrize("timestamps", [(60, 120), (120, 60)])
def test_of_two_deferrals_of_a_task_the_later_is_its_last(timestamps: tuple[int, int]) -> None:
    for timestamp in timestamps:
        note_deferral("tick", timestamp)
    [last_at] = [schedule.last_at for schedule in schedules() if schedule.task_name == "tick"]
    assert last_at == datetime.fromtimestamp(120, UTC)


def test_who_may_not_see_jobs_is_shown_no_link_to_the_last(
    client: Client, staff: Callable[..., User], make_job: Callable[..., Job]
) -> None:
    job = make_job("succeeded")
    note_deferral("tick", 60, job.pk)
    client.force_login(staff("joblogs.view_periodictask"))
    page = client.get(PERIODIC).content.decode()
    assert f"<td>{job.pk}</td>" in page
    assert "/admin/joblogs/job/" not in page


def test_a_project_without_periodic_tasks_says_so(
    as_administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})
    assert "There are no periodic tasks." in as_administrator.get(PERIODIC).content.decode()


@pytest.mark.parametrize(
    ("url", "permission"),
    [(WORKERS, "joblogs.view_worker"), (PERIODIC, "joblogs.view_periodictask")],
)
def test_each_list_needs_its_permission(
    client: Client, staff: Callable[..., User], url: str, permission: str
) -> None:
    client.force_login(staff("joblogs.view_job", username="without"))
    assert client.get(url).status_code == 403
    client.force_login(staff(permission, username="with"))
    assert client.get(url).status_code == 200


def test_nobody_changes_either(as_administrator: Client, worker: int) -> None:
    note_deferral("tick", 60)
    task = PeriodicTask.objects.get(task_name="tick")
    for url, pk in ((WORKERS, worker), (PERIODIC, task.pk)):
        assert as_administrator.get(f"{url}add/").status_code == 403
        assert as_administrator.post(f"{url}{pk}/delete/").status_code == 403
        assert as_administrator.post(f"{url}{pk}/change/", {"id": 7}).status_code == 403
    assert str(task) == "tick"
