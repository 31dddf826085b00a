"""Whatever is in a job's row, or comes out of a task, costs that job alone."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate import BaseRetryStrategy, RetryDecision, RetryStrategy
from procrastinate.contrib.django import app

from joblogs.models import Job, JobLog
from tests.jobs import outcomes, status_of
from tests.sql import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def log_of(task: Callable[..., Any], run_worker: Callable[..., None]) -> Callable[[int], JobLog]:
    """Run a job amid neighbours, see to it that they are well, and return the job's log."""

    def fine() -> None: ...

    neighbour = task(fine)
    before = [neighbour.defer() for _ in range(3)]

    def run(job_id: int) -> JobLog:
        neighbours = [*before, *(neighbour.defer() for _ in range(3))]
        late: list[int] = []

        def have_ended() -> bool:
            if Job.objects.filter(status="doing").exists() or not all(map(outcomes, neighbours)):
                return False
            if not late:
                # The worker is still there for others.
                late.append(neighbour.defer())
            return bool(outcomes(late[0]))

        run_worker(until=have_ended)
        assert [outcomes(pk) for pk in [*neighbours, *late]] == [[(1, "succeeded")]] * 7
        assert not Job.objects.filter(worker_id__isnull=False).exists()
        return JobLog.objects.get(job_id=job_id)

    return run


def is_failed(log: JobLog, error: str, message: str) -> None:
    assert (log.outcome, status_of(log.job_id)) == ("failed", "failed")
    assert log.error_class.endswith(error)
    assert message in log.error_message


@pytest.mark.parametrize("name", ["nowhere.to_be_found", "", " ", "x" * 128, "a\nb"])
def test_a_task_that_nobody_knows_fails_its_job(log_of: Callable[[int], JobLog], name: str) -> None:
    pk = app.configure_task("unknown", allow_unknown=True).defer()
    elsewhere("UPDATE procrastinate_jobs SET task_name = %s WHERE id = %s", name, pk)
    is_failed(log_of(pk), "TaskNotFound", f"No task is named {name!r}")


def test_arguments_that_no_longer_fit_fail_their_job(
    task: Callable[..., Any], log_of: Callable[[int], JobLog]
) -> None:
    def greet(*, user_id: int) -> None: ...

    log = log_of(task(greet).defer(user=1))
    is_failed(log, "TypeError", "greet() got an unexpected keyword argument 'user'")


def test_ten_megabytes_of_arguments_are_no_trouble(
    task: Callable[..., Any], log_of: Callable[[int], JobLog], lines: Callable[..., list[str]]
) -> None:
    def measure(*, text: str, password: str) -> int:
        raise ValueError(f"{text} {password}")

    pk = task(measure).defer(text="x" * 10_000_000, password="y" * 10_000_000)
    log = log_of(pk)
    is_failed(log, "ValueError", "characters left out")
    assert len(log.error_message) < 3_000
    assert len(log.traceback) < 25_000
    assert "yyyy" not in log.error_message + log.traceback
    [line] = lines("tests.measure")
    assert len(line) < 5_000


def nested(levels: int) -> str:
    return '{"inner":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *[
            (text, "no JSON object")
            for text in ("[]", "[[1]]", "1", '"x"', "null", "true", "1e999")
        ],
        # Deeper than Python reads; PostgreSQL itself takes no more than some thousand levels.
        (nested(5_000), "cannot be read"),
        ('{"n": ' + "9" * 5_000 + "}", "cannot be read"),
    ],
    ids=lambda value: value[:12],
)
def test_arguments_that_are_none_fail_their_job(
    task: Callable[..., Any], log_of: Callable[[int], JobLog], arguments: str, message: str
) -> None:
    def work(**_: object) -> None: ...

    pk = task(work).defer()
    elsewhere("UPDATE procrastinate_jobs SET args = %s WHERE id = %s", arguments, pk)
    is_failed(log_of(pk), "UnreadableArgumentsError", message)


@pytest.mark.parametrize(
    "change",
    [
        "scheduled_at = '-infinity'",
        "scheduled_at = '0044-03-15 BC'",
        "priority = -2147483648",
        "priority = 2147483647",
        "attempts = -5",
        "attempts = -2147483648",
        "attempts = 2147483646",
        "queue_name = ''",
        "lock = ''",
        "queueing_lock = ''",
        "worker_id = NULL",
        """args = '{"": 1}'""",
        """args = '{"n": "\\ud83d\\ude00"}'""",
    ],
)
def test_a_row_edited_into_nonsense_that_can_run_runs(
    task: Callable[..., Any], log_of: Callable[[int], JobLog], change: str
) -> None:
    def work(**_: object) -> str:
        return "done"

    pk = task(work).defer()
    elsewhere(f"UPDATE procrastinate_jobs SET {change} WHERE id = {pk}")  # noqa: S608  # of this test
    log = log_of(pk)
    assert (log.outcome, log.result) == ("succeeded", "done")
    assert status_of(pk) == "succeeded"


def test_a_count_of_attempts_at_its_end_ends_the_job(
    task: Callable[..., Any], log_of: Callable[[int], JobLog]
) -> None:
    pk = task(lambda: None).defer()
    elsewhere("UPDATE procrastinate_jobs SET attempts = 2147483647 WHERE id = %s", pk)
    assert log_of(pk).outcome in {"succeeded", "failed"}
    assert status_of(pk) in {"succeeded", "failed"}


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


NO_JSON: dict[str, Callable[[], Any]] = {
    "an object": object,
    "a set": lambda: {1},
    "bytes": lambda: b"x",
    "NaN": lambda: float("nan"),
    "infinity": lambda: [float("-inf")],
    "a tuple as a key": lambda: {(1, 2): 3},
    "a number too long": lambda: 10**5_000,
}


@pytest.mark.parametrize("kind", NO_JSON)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_result_that_is_not_json_fails_its_job(
    task: Callable[..., Any], log_of: Callable[[int], JobLog], kind: str, is_async: bool
) -> None:
    def work() -> Any:
        return NO_JSON[kind]()

    async def work_async() -> Any:
        return NO_JSON[kind]()

    is_failed(log_of(task(work_async if is_async else work).defer()), "NotJSONError", "not JSON")


@pytest.mark.parametrize("make", [endless, deep])
def test_a_result_without_an_end_is_kept_as_far_as_anybody_reads(
    task: Callable[..., Any], log_of: Callable[[int], JobLog], make: Callable[[], Any]
) -> None:
    def work() -> Any:
        return make()

    log = log_of(task(work).defer())
    assert log.outcome == "succeeded"
    assert "[redacted]" in json.dumps(log.result)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no comment")


class Nasty(Exception):
    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]  # it is nasty
        raise ValueError("no cause")


ERRORS = [
    *(SystemExit, KeyboardInterrupt, StopIteration, StopAsyncIteration, GeneratorExit),
    *(MemoryError, RecursionError, asyncio.InvalidStateError, asyncio.TimeoutError),
    *(Mute, Nasty),
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_a_task_raises_ends_its_job_alone(
    task: Callable[..., Any],
    log_of: Callable[[int], JobLog],
    error: type[BaseException],
    is_async: bool,
) -> None:
    def work() -> None:
        raise error

    async def work_async() -> None:
        raise error

    log = log_of(task(work_async if is_async else work).defer())
    assert (log.outcome, status_of(log.job_id)) == ("failed", "failed")
    # Python makes a RuntimeError of what would end a generator; of a nasty error little is known.
    known_as = {error.__name__, "RuntimeError", *(["ValueError"] if error is Nasty else [])}
    assert log.error_class.rpartition(".")[2] in known_as


def decision(**values: Any) -> Callable[[], RetryDecision]:
    def decide() -> RetryDecision:
        made = RetryDecision(retry_in={"hours": 1})
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made

    return decide


def no_rule() -> RetryDecision:
    raise LookupError("no rule")


RULES: dict[str, Callable[[], Any]] = {
    "raises": no_rule,
    "returns nonsense": lambda: "soon",
    "priority too high": decision(priority=10**12),
    "priority of no kind": decision(priority="high"),
    "priority of no JSON": decision(priority=object()),
    "queue too long": decision(queue="x" * 200),
    "queue with NUL": decision(queue="a\0b"),
    "queue with half a character": decision(queue="a\ud800b"),
    "lock of no JSON": decision(lock=object()),
    "time of no kind": decision(retry_at="tomorrow"),
    "time too early": decision(retry_at=datetime.min),  # noqa: DTZ901  # as bad as can be
}


@pytest.mark.parametrize("rule", RULES)
def test_a_retry_rule_that_makes_no_sense_fails_its_job(
    task: Callable[..., Any], log_of: Callable[[int], JobLog], rule: str
) -> None:
    class Rule(BaseRetryStrategy):
        def get_retry_decision(self, **_: object) -> RetryDecision:
            decided: RetryDecision = RULES[rule]()
            return decided

    def work() -> None:
        raise ValueError("the reason")

    pk = task(work, retry=Rule()).defer()
    log = log_of(pk)
    assert (log.outcome, status_of(pk)) == ("failed", "failed")
    assert log.error_class
    assert log.error_message


def test_a_job_whose_twin_is_queued_fails_instead_of_running_again(
    task: Callable[..., Any], log_of: Callable[[int], JobLog], warnings: Callable[[], list[str]]
) -> None:
    twins: list[int] = []

    def work() -> None:
        twins.append(again.configure(schedule_in={"hours": 1}, queueing_lock="one").defer())
        raise ValueError("the reason")

    again = task(work, retry=RetryStrategy(max_attempts=3))
    pk = again.configure(queueing_lock="one").defer()
    is_failed(log_of(pk), "ValueError", "the reason")
    assert status_of(twins[0]) == "todo"
    [warning] = [warning for warning in warnings() if "does not run again" in warning]
    assert f"Job {pk} " in warning
    assert "'one'" in warning
