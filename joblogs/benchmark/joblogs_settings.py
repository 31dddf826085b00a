"""The project's settings, with the benchmark's own tasks."""

from __future__ import annotations

from project.settings import *  # noqa: F403  # all of them

PROCRASTINATE_IMPORT_PATHS = ["joblogs.benchmark.tasks"]
