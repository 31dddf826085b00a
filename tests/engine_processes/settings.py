"""The settings of these tests' workers: those of all tests, with the tasks of this folder."""

from __future__ import annotations

from tests.settings import *  # noqa: F403  # all of them

PROCRASTINATE_IMPORT_PATHS = [
    "tests.engine_processes.tasks",
    "tests.engine_processes.deadly_tasks",
    "tests.engine_processes.slow_tasks",
]
