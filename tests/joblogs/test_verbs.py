"""What can be done to jobs, when it makes sense, and what it leaves behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinatePeriodicDefer

from joblogs.models import Job, JobQuerySet, UserLog
from joblogs.tasks import create_user_log
from joblogs.verbs import RETRY, VERBS
from tests.jobs import events
from tests.sql import execute, somebody_waits_for_a_lock
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from procrastinate.types import JSONDict

pytestmark = pytest.mark.django_db

STATES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
MAKES_SENSE = {
    "retry": {"failed", "cancelled", "aborted"},
    "cancel": {"todo"},
    "abort": {"doing"},
    "run_now": set(),  # for scheduled jobs alone
    "delete": {"succeeded", "failed", "cancelled", "aborted"},
}


def just(job: Job) -> JobQuerySet:
    return JobQuerySet(Job).filter(pk=job.pk)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", STATES)
def test_a_verb_takes_the_jobs_for_which_it_makes_sense(
    make_job: Callable[..., Job], verb: str, state: str
) -> None:
    job = make_job(state)
    before = Job.objects.filter(pk=job.pk).values().get()
    foreseen = just(job).judge(VERBS[verb])
    verdict = just(job).perform(VERBS[verb])
    assert foreseen == verdict
    if state in MAKES_SENSE[verb]:
        assert verdict == ([job], {})
        assert list(Job.objects.filter(pk=job.pk).values()) != [before]
    else:
        assert verdict.jobs == []
        assert verdict.refused[job.pk]
        assert list(Job.objects.filter(pk=job.pk).values()) == [before]


@pytest.mark.parametrize(
    ("verb", "state", "reason"),
    [
        ("retry", "doing", "running"),
        ("retry", "todo", "waiting"),
        ("cancel", "doing", "running, abort it instead"),
        ("abort", "todo", "not running yet, cancel it instead"),
        ("abort", "failed", "failed"),
        ("run_now", "todo", "due already"),
        ("delete", "doing", "running, abort it first"),
    ],
)
def test_a_refusal_says_why(
    make_job: Callable[..., Job], verb: str, state: str, reason: str
) -> None:
    job = make_job(state)
    assert just(job).perform(VERBS[verb]).refused == {job.pk: reason}


def test_what_makes_no_sense_does_not_stop_the_rest(make_job: Callable[..., Job]) -> None:
    failed, running, cancelled = (make_job(state) for state in ("failed", "doing", "cancelled"))
    verdict = Job.objects.all().retry()
    assert verdict.jobs == [failed, cancelled]
    assert verdict.refused == {running.pk: "running"}
    assert Job.objects.filter(status="todo").count() == 2


@pytest.mark.parametrize("state", ["failed", "cancelled", "aborted"])
def test_a_retried_job_is_due_at_once_and_counted_once(
    make_job: Callable[..., Job], state: str
) -> None:
    job = make_job(state, attempts=3, abort_requested=state == "cancelled")
    just(job).retry()
    job.refresh_from_db()
    assert (job.status, job.attempts, job.abort_requested) == ("todo", 3, False)
    assert job.scheduled_at is not None
    assert job.scheduled_at <= timezone.now()
    assert events(job.pk).count("retried") == 1


def test_a_retried_job_belongs_to_no_worker(make_job: Callable[..., Job]) -> None:
    job = make_job("failed")
    execute(
        "UPDATE procrastinate_jobs SET worker_id ="
        " (SELECT worker_id FROM procrastinate_register_worker_v1()) WHERE id = %s",
        job.pk,
    )
    assert Job.objects.get(pk=job.pk).worker_id is not None
    just(job).retry()
    assert Job.objects.get(pk=job.pk).worker_id is None


def test_a_job_with_a_queued_twin_is_not_retried(
    make_job: Callable[..., Job],
) -> None:
    failed = make_job("failed", queueing_lock="invoice")
    twin = make_job("todo", queueing_lock="invoice")
    other = make_job("failed", queueing_lock="another")
    verdict = Job.objects.filter(pk__in=[failed.pk, other.pk]).retry()
    assert verdict.jobs == [other]
    assert verdict.refused == {failed.pk: f"job {twin.pk} with the same queueing lock is queued"}


def test_a_twin_that_is_running_is_in_nobodys_way(make_job: Callable[..., Job]) -> None:
    failed = make_job("failed", queueing_lock="invoice")
    make_job("doing", queueing_lock="invoice")
    assert just(failed).retry() == ([failed], {})
    assert Job.objects.get(pk=failed.pk).status == "todo"


def test_of_jobs_with_one_queueing_lock_the_first_is_retried(
    make_job: Callable[..., Job],
) -> None:
    first, second = (make_job("failed", queueing_lock="invoice") for _ in range(2))
    verdict = Job.objects.all().retry()
    assert verdict.jobs == [first]
    assert verdict.refused == {second.pk: f"job {first.pk} with the same queueing lock is queued"}


@pytest.mark.django_db(transaction=True)
def test_a_twin_that_is_deferred_at_the_same_moment_is_seen(
    make_job: Callable[..., Job],
    in_threads: Callable[..., list[BaseException | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = make_job("failed", queueing_lock="invoice")
    twins: list[Job] = []
    judge = JobQuerySet.judge

    def judge_too_early(jobs: JobQuerySet, verb: Any) -> Any:
        verdict = judge(jobs, verb)
        if not twins:
            assert in_threads(lambda: twins.append(make_job(queueing_lock="invoice"))) == [None]
        return verdict

    monkeypatch.setattr(JobQuerySet, "judge", judge_too_early)
    verdict = just(job).retry()
    assert verdict.jobs == []
    assert verdict.refused == {job.pk: f"job {twins[0].pk} with the same queueing lock is queued"}


def test_an_error_about_something_else_is_not_hidden(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise IntegrityError("something else")

    monkeypatch.setattr(JobQuerySet, "_execute", fail)
    with pytest.raises(IntegrityError, match="something else"):
        just(make_job("failed")).retry()


def test_a_scheduled_job_is_run_now(make_job: Callable[..., Job]) -> None:
    job = make_job("todo", schedule_in={"days": 1})
    assert job.state == "scheduled"
    assert just(job).run_now().jobs == [job]
    job.refresh_from_db()
    assert job.state == "waiting"


def test_a_running_job_is_asked_to_abort_once(make_job: Callable[..., Job]) -> None:
    job = make_job("doing")
    assert just(job).abort().jobs == [job]
    job.refresh_from_db()
    assert (job.status, job.state) == ("doing", "aborting")
    assert events(job.pk)[-1] == "abort_requested"
    assert just(job).abort().refused == {job.pk: "asked to abort already"}


def test_a_cancelled_job_does_not_run(make_job: Callable[..., Job]) -> None:
    job = make_job("todo")
    just(job).cancel()
    assert Job.objects.get(pk=job.pk).status == "cancelled"
    assert events(job.pk)[-1] == "cancelled"


def test_a_deleted_job_takes_its_events_and_nothing_else(
    make_job: Callable[..., Job], administrator: Any
) -> None:
    job = make_job("succeeded")
    UserLog.objects.write(user_id=administrator.pk, job_id=job.pk)
    execute(
        "INSERT INTO procrastinate_periodic_defers (task_name, defer_timestamp, job_id)"
        " VALUES ('tick', 60, %s)",
        job.pk,
    )
    assert just(job).delete_ended().jobs == [job]
    assert not Job.objects.filter(pk=job.pk).exists()
    assert events(job.pk) == []
    assert UserLog.objects.get().job_id == job.pk
    defer = ProcrastinatePeriodicDefer.objects.get(task_name="tick")
    assert (defer.defer_timestamp, defer.job_id) == (60, None)


def test_nothing_is_done_when_something_fails(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job("failed")
    monkeypatch.setattr("joblogs.models.job.SQL", connection)  # no folder to read from
    with pytest.raises(TypeError):
        just(job).retry()
    assert Job.objects.get(pk=job.pk).status == "failed"


@pytest.mark.django_db(transaction=True)
def test_two_who_retry_the_same_jobs_retry_each_once(
    make_job: Callable[..., Job], in_threads: Callable[..., list[BaseException | None]]
) -> None:
    jobs = [make_job("failed") for _ in range(20)]
    done: list[Job] = []

    def retry() -> None:
        done.extend(Job.objects.filter(pk__in=[job.pk for job in jobs]).retry().jobs)

    assert in_threads(retry, retry, retry) == [None] * 3
    assert sorted(job.pk for job in done) == [job.pk for job in jobs]


@pytest.mark.django_db(transaction=True)
def test_a_job_that_is_fetched_meanwhile_is_not_cancelled(
    make_job: Callable[..., Job], in_threads: Callable[..., list[BaseException | None]]
) -> None:
    job = make_job("todo")
    verdicts = []
    fetched = threading.Event()

    def fetch() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM procrastinate_fetch_job_v2(NULL, NULL)")
            fetched.set()
            wait_for(somebody_waits_for_a_lock)

    def cancel() -> None:
        assert fetched.wait(20)
        verdicts.append(just(job).cancel())

    assert in_threads(fetch, cancel) == [None, None]
    assert verdicts[0].refused == {job.pk: "running, abort it instead"}
    assert Job.objects.get(pk=job.pk).status == "doing"


def test_many_jobs_take_a_handful_of_statements(
    make_job: Callable[..., Job], django_assert_max_num_queries: Callable[..., Any]
) -> None:
    arguments: list[JSONDict] = [{"user_id": number} for number in range(1, 501)]
    create_user_log.batch_defer(*arguments)
    Job.objects.all().cancel()
    with django_assert_max_num_queries(6):
        assert len(Job.objects.all().perform(RETRY).jobs) == 500
