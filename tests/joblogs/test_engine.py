"""The engine stands in Procrastinate's place, with the settings' defaults."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from procrastinate import App, jobs
from procrastinate.contrib.django import app

from joblogs.engine.app import EngineApp
from joblogs.engine.connectors import DjangoConnector
from joblogs.engine.immediate import run_now
from joblogs.engine.manager import JobManager
from joblogs.engine.outcome import log_outcome
from joblogs.engine.worker import Worker

if TYPE_CHECKING:
    import pytest

ready: list[object] = []


def note_ready(app: App) -> None:
    ready.append(app)


def test_no_stock_class_is_in_use() -> None:
    worker = app._worker()
    assert isinstance(worker, Worker)
    assert isinstance(worker.app, EngineApp)
    assert isinstance(app.job_manager, JobManager)
    assert isinstance(app.connector, DjangoConnector)


def test_a_worker_has_the_settings_defaults_or_its_flags() -> None:
    worker = app._worker()
    assert (worker.concurrency, worker.shutdown_graceful_timeout) == (10, 25)
    assert worker.queues is None
    # How long jobs of a worker that died wait at most: until it is dead, and somebody looks.
    assert worker.stalled_worker_timeout + worker.update_heartbeat_interval <= 30
    worker = app._worker(concurrency=3, queues=["high"])
    assert (worker.concurrency, worker.shutdown_graceful_timeout) == (3, 25)
    assert worker.queues == ["high"]


def test_procrastinates_hook_for_a_ready_app_is_called(settings: Any) -> None:
    from django.apps import apps
    from procrastinate.contrib.django import procrastinate_app

    settings.PROCRASTINATE_ON_APP_READY = "tests.joblogs.test_engine.note_ready"
    before = procrastinate_app.current_app
    # As before Django is ready.
    procrastinate_app.current_app = cast("App", procrastinate_app.FutureApp())
    try:
        apps.get_app_config("procrastinate").ready()
        assert ready == [procrastinate_app.current_app]
        assert isinstance(ready[0], EngineApp)
    finally:
        procrastinate_app.current_app = before


def test_a_tasks_own_middleware_wraps_it_when_it_runs_now() -> None:
    def doubled(call_next: Any, context: object, worker: object) -> Any:
        return 2 * call_next()

    task = app.task(name="tests.answer", task_middleware=[doubled])(lambda: 21)
    try:
        assert run_now(task) == 42
    finally:
        del app.tasks["tests.answer"]


def test_no_job_is_said_to_have_waited_less_than_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "joblogs.jobs")
    job = jobs.Job(task_name="task", queue="default", lock=None, queueing_lock=None)
    log_outcome(job, "succeeded", waited=-0.5, ran=0.1)
    assert "waited=0.000s ran=0.100s" in caplog.text
