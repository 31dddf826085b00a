"""The project's settings, with the tasks of the chaos tests."""

from __future__ import annotations

from project.settings import *  # noqa: F403  # a settings module starts from all of another's

PROCRASTINATE_IMPORT_PATHS = ["tests.chaos.tasks"]
