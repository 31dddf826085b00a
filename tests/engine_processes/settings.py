"""The settings of these tests' workers: those of all tests, with the tasks of this folder."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403  # all of them
from tests.settings import PROCRASTINATE_WORKER_DEFAULTS

PROCRASTINATE_IMPORT_PATHS = ["tests.engine_processes.tasks"]
if seconds := os.environ.get("HEARTBEAT_SECONDS"):
    PROCRASTINATE_WORKER_DEFAULTS["update_heartbeat_interval"] = float(seconds)
