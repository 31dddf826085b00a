"""The same project on stock Procrastinate."""

from __future__ import annotations

from joblogs.benchmark.stock_settings import *  # noqa: F403  # a settings module starts from all of another's
from project.settings import PROCRASTINATE_WORKER_DEFAULTS as DEFAULTS

# Without our times of heartbeats, so that its own hold.
PROCRASTINATE_WORKER_DEFAULTS = {
    name: DEFAULTS[name] for name in ("concurrency", "shutdown_graceful_timeout")
}
PROCRASTINATE_IMPORT_PATHS = ["tests.chaos.tasks"]
PROCRASTINATE_ON_APP_READY = "tests.chaos.stock_tasks.register"
