"""`manage.py postgres`: the embedded server, by hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from project.postgres.base import DatabaseWrapper

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from project.postgres.embedded import EmbeddedPostgres

# As systemctl and pg_ctl have it.
NOT_RUNNING = 3


class Command(BaseCommand):
    help = (
        "Start, stop or look at the embedded PostgreSQL in .postgres/. It starts by itself when a "
        "process needs it, also one that is still running after a stop. The exit status of "
        f"'status' is 0 when it runs and {NOT_RUNNING} when it does not."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status"])

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        server = connection.embedded if isinstance(connection, DatabaseWrapper) else None
        if server is None:
            raise CommandError("DATABASE_URL is set: there is no embedded PostgreSQL to manage.")
        getattr(self, action)(server)

    def start(self, server: EmbeddedPostgres) -> None:
        server.ensure_running(suspect=True)
        self.status(server)

    def stop(self, server: EmbeddedPostgres) -> None:
        server.stop()
        self.stdout.write("The embedded PostgreSQL is stopped.")

    def status(self, server: EmbeddedPostgres) -> None:
        host = server.running_host()
        if host is None:
            self.stdout.write("The embedded PostgreSQL is not running.")
            sys.exit(NOT_RUNNING)
        # Imported here, as nothing of the embedded server is needed with DATABASE_URL.
        from project.postgres.talk import version

        self.stdout.write(f"The embedded PostgreSQL {version(host)} is running.")
        self.stdout.write(f"Data:   {server.data}")
        self.stdout.write(f"Socket: {host}")
