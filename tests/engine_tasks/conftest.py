"""Tasks for the time of a test, and a look at what became of their jobs."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import pytest
from django.db import connection
from procrastinate.contrib.django import app

from joblogs.engine.batch import batch_task
from joblogs.models import Job, JobLog
from project.postgres.base import DatabaseWrapper
from tests.processes import database_url
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procrastinate.tasks import Task
    from procrastinate.worker import Worker

    AnyTask = Task[..., Any, ...]


# Options of a worker that looks soon for the jobs of others that died, and for jobs of nobody.
SOON = {"update_heartbeat_interval": 0.2, "stalled_worker_timeout": 1.0}


@pytest.fixture
def run_worker(transactional_db: None) -> Callable[..., None]:
    """Run a worker in this process that listens and polls, until a condition is true."""

    def run(until: Callable[[], object], **options: Any) -> None:
        workers: list[Worker] = []

        async def work() -> None:
            async with app.open_async():
                defaults: dict[str, Any] = {"concurrency": 4, "abort_job_polling_interval": 0.05}
                worker = app._worker(**(defaults | options), install_signal_handlers=False)
                workers.append(worker)
                await worker.run()  # type: ignore[no-untyped-call]  # Procrastinate's

        with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]  # ours
            # A worker that hangs fails its test, and is not in the way of the others.
            thread = threading.Thread(target=asyncio.run, args=[work()], daemon=True)
            thread.start()
            try:
                wait_for(until)
            finally:
                wait_for(lambda: workers and workers[0].run_task)
                workers[0].stop()  # type: ignore[no-untyped-call]  # Procrastinate's
                thread.join(10)
        assert not thread.is_alive()

    return run


@pytest.fixture
def task() -> Iterator[Callable[..., AnyTask]]:
    """Register a task for the time of a test: task(function, **options)."""
    names: list[str] = []

    def register(function: Callable[..., Any], **options: Any) -> AnyTask:
        name = f"tests.{function.__name__}"
        names.append(name)
        registered: AnyTask = app.task(name=name, **options)(function)  # type: ignore[no-untyped-call]  # any
        return registered

    yield register
    for name in names:
        app.tasks.pop(name, None)


@pytest.fixture
def batch() -> Iterator[Callable[..., AnyTask]]:
    """Register a batch task for the time of a test: batch(function, **options)."""
    names: list[str] = []

    def register(function: Callable[..., None], **options: Any) -> AnyTask:
        name = f"tests.{function.__name__}"
        names.append(name)
        return batch_task(name=name, **options)(function)

    yield register
    for name in names:
        app.tasks.pop(name, None)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Return the lines that jobs of this task have left."""
    caplog.set_level(logging.INFO)

    def of(name: str) -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name == "joblogs.jobs" and record.getMessage().startswith(f"{name} ")
        ]

    return of


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what the engine has warned of, but for the lines of jobs."""
    caplog.set_level(logging.INFO)

    def of() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith(("joblogs.engine", "procrastinate.worker."))
            and record.levelno >= logging.WARNING
        ]

    return of


def elsewhere(query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Do something on a connection of its own, committed at once, as another process would."""
    with psycopg.connect(database_url(), autocommit=True) as other:
        cursor = other.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def give_to_a_worker(*job_ids: int) -> int:
    """Have jobs run in a worker that has been silent for a minute, and return its id."""
    [(worker,)] = elsewhere(
        "INSERT INTO procrastinate_workers (last_heartbeat)"
        " VALUES (now() - interval '1 minute') RETURNING id"
    )
    elsewhere(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = ANY (%s)",
        *(worker, list(job_ids)),
    )
    return int(worker)


def outcomes(job_id: int) -> list[tuple[int, str]]:
    """Return the attempts of a job that are on record, each with its outcome."""
    logs = JobLog.objects.filter(job_id=job_id).order_by("id")
    return list(logs.values_list("attempt", "outcome"))


def status_of(job_id: int) -> str:
    """Return the status of a job whose row Python may not be able to read."""
    [(status,)] = elsewhere("SELECT status::text FROM procrastinate_jobs WHERE id = %s", job_id)
    return str(status)


def statuses(*job_ids: int) -> list[str]:
    """Return how these jobs are, in this order."""
    return [Job.objects.get(pk=job_id).status for job_id in job_ids]


def transaction_of(table: str, column: str, *values: object) -> set[str]:
    """Return the ids of the transactions that last wrote these rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT xmin::text FROM {table} WHERE {column} = ANY (%s)",  # noqa: S608  # names of this test
            [list(values)],
        )
        return {row[0] for row in cursor.fetchall()}


class Proxy:
    """Stands between this process and PostgreSQL, and cuts a connection at a word.

    What holds the word reaches PostgreSQL when it is to be delivered; then its answer is lost.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self, word: bytes, *, deliver: bool) -> None:
        """Cut the connection on which this word is sent next."""
        self.word, self.deliver, self.cuts = word, deliver, 1

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=function, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._start(self._serve, self._listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self.upstream)
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    client.sendall(server.recv(65_536))
                if client in readable:
                    if not (data := client.recv(65_536)):
                        return
                    if self.cuts and self.word in data:
                        self.cuts -= 1
                        if self.deliver:
                            server.sendall(data)
                            while (answer := server.recv(65_536)) and not answer.endswith(b"I"):
                                pass  # until it is idle again
                        return
                    server.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


AnyProxy = TypeVar("AnyProxy", bound=Proxy)


@contextmanager
def led_through(
    kind: type[AnyProxy], monkeypatch: pytest.MonkeyPatch, *, host: str = "127.0.0.1"
) -> Iterator[AnyProxy]:
    """Lead all connections that are opened from now on through a proxy of this kind.

    `host` is a name of this machine, by which it is looked for.
    """
    parameters = connection.get_connection_params()
    proxy = kind(f"{parameters['host']}/.s.PGSQL.{parameters['port']}")
    direct = DatabaseWrapper.get_connection_params

    def through_the_proxy(wrapper: DatabaseWrapper) -> dict[str, Any]:
        return direct(wrapper) | {"host": host, "port": proxy.port}

    with monkeypatch.context() as patch:
        patch.setattr(DatabaseWrapper, "get_connection_params", through_the_proxy)
        yield proxy
    connection.close()
    proxy.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with led_through(Proxy, monkeypatch) as proxy:
        yield proxy
