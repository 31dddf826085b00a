"""The same project on stock Procrastinate: its worker, its job manager, its connections."""

from __future__ import annotations

from joblogs.benchmark.joblogs_settings import *  # noqa: F403  # all of them
from project.settings import INSTALLED_APPS as JOBLOGS_APPS

STOCK_FOR_OURS = {"joblogs.engine.apps.EngineConfig": "procrastinate.contrib.django"}
INSTALLED_APPS = [STOCK_FOR_OURS.get(name, name) for name in JOBLOGS_APPS]
PROCRASTINATE_ON_APP_READY = "joblogs.benchmark.plain_task.register"
