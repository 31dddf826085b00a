"""`manage.py makemigrations`, which does not start the embedded server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.management.commands import makemigrations
from django.db import DEFAULT_DB_ALIAS, connections

from project.postgres.base import DatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator


class Command(makemigrations.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with _no_database_if_stopped():
            super().handle(*args, **options)


@contextmanager
def _no_database_if_stopped() -> Iterator[None]:
    """Leave out the comparison with the migrations applied, the one step that connects."""
    connection = connections[DEFAULT_DB_ALIAS]
    server = connection.embedded if isinstance(connection, DatabaseWrapper) else None
    if server is None or server.running_host():
        yield
        return
    engine = connection.settings_dict["ENGINE"]
    connection.settings_dict["ENGINE"] = "django.db.backends.dummy"
    try:
        yield
    finally:
        connection.settings_dict["ENGINE"] = engine
