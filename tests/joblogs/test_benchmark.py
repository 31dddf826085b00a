"""`manage.py benchmark`, at the smallest sizes; and whether it sends what Joblogs sends."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from procrastinate.sql import queries as stock_queries

from accounts.models import User
from joblogs.benchmark.children import requests_heard, running
from joblogs.benchmark.latency import percentile
from joblogs.benchmark.report import Case, Report, at_least, ours_at_most
from joblogs.benchmark.server import SQL, BenchmarkError, Server
from joblogs.models import Job
from project.postgres.binaries import find_installation
from tests.processes import Process, database_url
from tests.sql import execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def benchmark(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `manage.py benchmark` on the tests' server, with pgbench on the PATH."""
    started: list[Process] = []

    def start(*arguments: str) -> Process:
        path = f"{find_installation() / 'bin'}{os.pathsep}{os.environ['PATH']}"
        started.append(
            Process(
                *("manage.py", "benchmark", *arguments),
                url=database_url(),
                log=tmp_path / f"benchmark-{len(started)}.log",
                PATH=path,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.stop()


def databases() -> set[str]:
    rows = execute("SELECT datname FROM pg_database WHERE datname LIKE 'joblogs_benchmark%'")
    return {name for (name,) in rows}


def statements(*scripts: str) -> list[str]:
    """Return the statements of pgbench scripts, normalised."""
    text = "\n".join((SQL / script).read_text() for script in scripts)
    lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]
    return [normalised(re.sub(r"( \\gset|;)$", "", line)) for line in lines]


def normalised(statement: str) -> str:
    """Replace numbers, and pgbench's variables, which stand for such."""
    statement = " ".join(statement.strip().rstrip(";").split())
    statement = re.sub(r"\d+", "#", statement)
    return re.sub(r"(?<!:):[a-z]\w*", "#", statement)


def sent_by_creating_a_user() -> list[str]:
    numbers = itertools.count(1)

    def create() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            User(username=f"user{next(numbers)}").save()
        return [normalised(query["sql"]) for query in captured.captured_queries]

    # In a burst, here of earlier tests, a thread sends the notice.
    sent: list[str] = []

    def wakes_by_itself() -> bool:
        sent[:] = create()
        return sent[-1].startswith("SELECT joblogs_wake")

    wait_for(wakes_by_itself)
    return sent


@pytest.mark.django_db(transaction=True)
def test_pgbench_sends_what_creating_a_user_sends() -> None:
    assert statements("enqueue_joblogs.sql", "wake_joblogs.sql") == sent_by_creating_a_user()


def test_pgbench_sends_for_stock_just_what_procrastinate_sends() -> None:
    ours, stocks = statements("enqueue_joblogs.sql"), statements("enqueue_stock.sql")
    defer, stock_defer = ours.pop(2), stocks.pop(2)
    assert ours == stocks
    jobs, stock_jobs = re.findall(r"E'.*'", f"{defer}\n{stock_defer}")
    assert jobs == stock_jobs
    query = normalised(stock_queries["defer_jobs"].replace("%(jobs)s", jobs))
    assert re.sub(r"\s", "", stock_defer) == re.sub(r"\s", "", query)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("drain", ["--jobs=20", "--soak=20", "--only=no-op|ceiling|soak"]),
        ("enqueue", ["--jobs=1", "--seconds=1", "--only=, 8|ORM"]),
        ("latency", ["--jobs=5", "--idle-seconds=1", "--only=commit|idle"]),
        ("backlog", ["--jobs=100", "--samples=3", "--only=\\([adf]"]),
    ],
)
def test_a_benchmark_measures_both_sides_and_leaves_nothing(
    benchmark: Callable[..., Process], name: str, options: list[str]
) -> None:
    User.objects.create_user("alice")
    process = benchmark(name, *options, "--repeat=1", "--json")
    wait_for(lambda: process.has_ended, seconds=400)
    assert process.stop() == 0, process.log
    report = json.loads(process.log[process.log.index("\n{") :])
    assert report["benchmark"] == name
    assert report["environment"]["synchronous_commit"] == "on"
    assert len(report["cases"]) > 2
    for case in report["cases"]:
        assert case["joblogs"]["median"] >= 0
        assert case["stock"] is None or case["stock"]["median"] >= 0
    assert any(case["ratio"] for case in report["cases"])
    assert databases() == set()
    assert [user.username for user in User.objects.all()] == ["alice"]
    assert [job.status for job in Job.objects.all()] == ["todo"]


def test_ctrl_c_leaves_no_database(benchmark: Callable[..., Process]) -> None:
    process = benchmark("backlog", "--jobs=1000")
    wait_for(lambda: len(databases()) == 4 or process.has_ended, seconds=180)
    process.process.send_signal(signal.SIGINT)
    with suppress(AssertionError):
        wait_for(lambda: process.has_ended)
    # Its log says how far it came.
    assert process.has_ended, process.log
    assert process.stop() == 130, process.log
    assert databases() == set()


def test_a_request_to_end_leaves_no_database(benchmark: Callable[..., Process]) -> None:
    process = benchmark("latency")
    wait_for(lambda: len(databases()) == 2 or process.has_ended)
    assert process.stop() == 128 + signal.SIGTERM, process.log
    assert databases() == set()


def test_a_request_to_end_amid_the_start_of_a_process_leaves_none(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def interrupt_the_start() -> None:
        pid.write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGTERM)

    def end(*_: object) -> None:
        sys.exit(3)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with (
            pytest.raises(SystemExit),
            running(["sleep", "600"], preexec_fn=interrupt_the_start),
        ):
            pytest.fail("it was not asked to end")
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIGKILL)


class Dropped:
    """Python drops what is raised when it is deleted."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_request_to_end_is_heard_where_python_drops_exceptions(
    number: int, end: type[BaseException]
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        hook = sys.unraisablehook
        with pytest.raises(end), requests_heard():
            Dropped(number)
            wait_for(lambda: False)
        assert sys.unraisablehook is hook
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_exists_is_left_alone() -> None:
    server = Server.in_use()
    with server.database("joblogs_benchmark_stock") as name:
        with server.connect(name) as session:
            session.execute("CREATE TABLE mine ()")
        with pytest.raises(CommandError, match="There is a database joblogs_benchmark_stock"):
            call_command("benchmark", "backlog")
        with server.connect(name) as session:
            session.execute("SELECT FROM mine")
    assert databases() == set()


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(CommandError, match=r"^--repeat must be at least 1, not 0\.$"):
        call_command("benchmark", "drain", "--repeat", "0")
    with pytest.raises(CommandError, match=r"^--only is no regular expression: "):
        call_command("benchmark", "drain", "--only", "(")


def test_without_pgbench_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchmarkError, match="pgbench is not on the PATH: install"):
        Server({}, log=None).pgbench()


def test_a_ratio_is_of_medians_and_a_target_is_met_or_not() -> None:
    case = Case("drain", "jobs/s", [1.0, 2.0, 90.0], [19.0, 20.0, 21.0], at_least(10))
    assert (case.ratio, case.met) == (10, True)
    assert Case("drain", "jobs/s", [2.1], [20.0], at_least(10)).met is False
    assert Case("stop", "ms", [1.0], [101.0], ours_at_most(100)).met is False
    assert Case("stop", "ms", [], [99.0], ours_at_most(100)).met is True
    assert Case("stop", "ms", [], [], ours_at_most(100)).met is None


def test_the_table_shows_medians_with_the_least_and_the_most() -> None:
    report = Report("drain", "manage.py benchmark drain", {"cores": "2"})
    report.cases.append(Case("no-op", "jobs/s", [1, 2, 3], [1000, 2000, 4000], at_least(4)))
    assert report.as_text().splitlines()[-1].split("  ") == [
        *("no-op", "2.00 jobs/s (1.00-3.00)", "2,000 jobs/s (1,000-4,000)"),
        *("1000.00x", ">= 4x", " yes"),
    ]


def test_the_99th_percentile_of_few_values_is_the_largest() -> None:
    assert percentile([3, 1, 2], 99) == 3
    assert percentile(range(1, 101), 99) == 99
    assert percentile([3, 1, 2], 50) == 2
