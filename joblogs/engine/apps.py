"""Install Procrastinate's Django app with Joblogs' engine in it."""

from __future__ import annotations

import logging

from django.utils.module_loading import import_string
from procrastinate.contrib.django import procrastinate_app
from procrastinate.contrib.django.apps import ProcrastinateConfig, get_import_paths
from procrastinate.contrib.django.settings import settings

from joblogs.engine.app import EngineApp
from joblogs.engine.connectors import DjangoConnector
from joblogs.redaction import RedactedArguments

# Those of Procrastinate's loggers that tell of jobs which no worker has fetched.
TELLTALES = ("procrastinate.jobs", "procrastinate.periodic")


class EngineConfig(ProcrastinateConfig):
    """Stands in INSTALLED_APPS in place of `procrastinate.contrib.django`."""

    def ready(self) -> None:
        # Until now the app was a blueprint, so that tasks could register at import time.
        blueprint = procrastinate_app.current_app
        app = EngineApp(
            connector=DjangoConnector(alias=settings.DATABASE_ALIAS),
            import_paths=list(get_import_paths()),
            worker_defaults=settings.WORKER_DEFAULTS,
            periodic_defaults=settings.PERIODIC_DEFAULTS,
        )
        app.add_tasks_from(blueprint, namespace="")
        if settings.ON_APP_READY:
            import_string(settings.ON_APP_READY)(app)
        procrastinate_app.current_app = app
        # On the loggers and not on a handler, so that it holds however a project logs.
        for name in TELLTALES:
            logging.getLogger(name).addFilter(RedactedArguments())
