"""The people, the jobs and the workers of the tests."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, connections
from django.test import TransactionTestCase
from hypothesis import settings
from procrastinate.contrib.django import app

from accounts.models import User
from tests.emptying import empty_written_tables
from tests.forking import mother
from tests.permissions import permissions
from tests.ports import free_port
from tests.processes import WebServer, WorkerProcess, database_url
from tests.servers import server_not_for_keeps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from django.test import Client
    from procrastinate.tasks import Task


# The same examples in every run, so that the gate fails for those alone who broke something; others
# each time in the long form.
settings.register_profile(
    "gate", max_examples=400, derandomize=True, database=None, deadline=None, print_blob=True
)
settings.register_profile(
    "long", settings.get_profile("gate"), max_examples=5_000, derandomize=False
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="sweep and think up examples for as long as it takes"
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("long") else "gate")


@pytest.fixture
def longer(request: pytest.FixtureRequest) -> bool:
    """Whether to try more than the gate has time for."""
    return bool(request.config.getoption("long"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes run the tests: most of them wait for others most of the time.

    A single file is quicker without any, and on a server of somebody else's they would meet.
    """
    files = [Path(argument.partition("::")[0]) for argument in config.args]
    if all(file.is_file() for file in files) or "DATABASE_URL" in os.environ:
        return 0
    return 2 * (os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all that was imported, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have reports be text that can be sent to another process, whatever bad input was logged."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Have a server of these tests' own, unless DATABASE_URL names one."""
    settings = connection.settings_dict
    if "EMBEDDED" not in settings:
        yield
        return
    with server_not_for_keeps(tmp_path_factory.mktemp("server") / ".postgres") as server:
        settings["EMBEDDED"] = server.folder
        yield
        connections.close_all()


@pytest.fixture(scope="session", autouse=True)
def _signals_for_what_is_started() -> None:
    """Let what the tests start hear signals that a shell's background job, or nohup, ignores."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            # Unlike being ignored, having a handler is not inherited.
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _end_of_the_mother() -> Iterator[None]:
    """Let the process that others are forked from end before its coverage is added to the rest."""
    yield
    if mother.cache_info().currsize:
        mother().end()


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: empty_written_tables())
        yield


@pytest.fixture
def staff(db: None) -> Callable[..., User]:
    """Make a staff member who has just these permissions: staff("accounts.view_user", ...)."""

    def make(*names: str, username: str = "staff") -> User:
        user = User.objects.create_user(username, password="password", is_staff=True)
        user.user_permissions.add(*permissions(*names))
        return user

    return make


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.create_superuser("administrator", password="password")


@pytest.fixture
def looker(staff: Callable[..., User]) -> User:
    """A staff member who may look at everything and change nothing."""
    return staff("accounts.view_user", "joblogs.view_userlog", username="looker")


@pytest.fixture
def outsider(db: None) -> User:
    """A user who is not staff, and has every permission all the same."""
    user = User.objects.create_user("outsider", password="password")
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def as_administrator(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def as_looker(client: Client, looker: User) -> Client:
    client.force_login(looker)
    return client


@pytest.fixture
def run_jobs(transactional_db: None) -> Callable[..., None]:
    """Work off all jobs that are due, with a worker in this process."""

    def run(concurrency: int = 4, **options: Any) -> None:
        async def work() -> None:
            async with app.open_async():
                await app.run_worker_async(
                    wait=False,
                    concurrency=concurrency,
                    **options,
                    listen_notify=False,
                    install_signal_handlers=False,
                )

        with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]  # ours
            # In a thread of its own, as Django forbids its connection where a loop runs.
            thread = threading.Thread(target=asyncio.run, args=[work()])
            thread.start()
            thread.join()

    return run


@pytest.fixture
def start_worker(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    workers: list[WorkerProcess] = []

    def start(*flags: str) -> WorkerProcess:
        log = tmp_path / f"worker-{len(workers)}.log"
        workers.append(WorkerProcess(*flags, url=database_url(), log=log))
        workers[-1].wait_until_ready()
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


@pytest.fixture
def in_threads() -> Callable[..., list[BaseException | None]]:
    """Run functions at the same instant, each in a thread; return what each raised, or None."""

    def run(*functions: Callable[[], object]) -> list[BaseException | None]:
        errors: list[BaseException | None] = [None] * len(functions)
        barrier = threading.Barrier(len(functions))

        def call(index: int) -> None:
            try:
                barrier.wait()
                functions[index]()
            except BaseException as error:  # noqa: BLE001  # handed to the test
                errors[index] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=call, args=[index]) for index in range(len(functions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors

    return run


@pytest.fixture
def task() -> Iterator[Callable[..., Task[..., Any, ...]]]:
    """Register a task for the time of a test: task(function, **options)."""
    names: list[str] = []

    def register(function: Callable[..., Any], **options: Any) -> Task[..., Any, ...]:
        name = f"tests.{function.__name__}"
        names.append(name)
        registered: Task[..., Any, ...] = app.task(name=name, **options)(function)  # type: ignore[no-untyped-call]  # any
        return registered

    yield register
    for name in names:
        app.tasks.pop(name, None)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[logging.LogRecord]]:
    """Return what jobs of this task have left in the log."""
    caplog.set_level(logging.INFO)

    def of(name: str) -> list[logging.LogRecord]:
        return [
            record
            for record in caplog.records
            if record.name == "joblogs.jobs" and record.getMessage().startswith(f"{name} ")
        ]

    return of


@pytest.fixture
def lines(records: Callable[[str], list[logging.LogRecord]]) -> Callable[[str], list[str]]:
    """Return the lines that jobs of this task have left in the log."""
    return lambda name: [record.getMessage() for record in records(name)]


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[WebServer]:
    """A web server on the tests' database."""
    server = WebServer(url=database_url(), log=tmp_path / "web.log")
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def closed_port() -> int:
    return free_port()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose server takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password="password")
