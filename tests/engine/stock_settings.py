"""The same settings for a stock worker: with Procrastinate's own app in place of the engine."""

from __future__ import annotations

from tests.engine.fleet_settings import *  # noqa: F403  # all of them
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [
    "procrastinate.contrib.django" if name == "joblogs.engine.apps.EngineConfig" else name
    for name in INSTALLED_APPS
]
