"""Tasks for the time of a test, and a look at what became of their jobs."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.contrib.django import app

from joblogs.engine.batch import batch_task
from tests.proxies import CuttingProxy, led_through
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from procrastinate.tasks import Task
    from procrastinate.worker import Worker

    AnyTask = Task[..., Any, ...]


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


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingProxy]:
    with led_through(CuttingProxy, monkeypatch) as proxy:
        yield proxy
