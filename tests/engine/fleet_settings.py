"""The settings of a worker of ours, beside stock ones: with the tasks of both."""

from __future__ import annotations

from tests.settings import *  # noqa: F403  # all of them

PROCRASTINATE_IMPORT_PATHS = ["tests.engine.fleet_tasks"]
