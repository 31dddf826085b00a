"""The project's settings, with the benchmark's own tasks."""

from __future__ import annotations

from project.settings import *  # noqa: F403  # a settings module starts from all of another's

PROCRASTINATE_IMPORT_PATHS = ["joblogs.benchmark.tasks"]
