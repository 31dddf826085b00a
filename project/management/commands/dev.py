"""`manage.py dev`: all that Joblogs needs on this machine, in one terminal."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from project.postgres.base import DatabaseWrapper

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator

HOST = "127.0.0.1"
# Seconds for what is under way at Ctrl-C: below the five after which honcho kills.
GRACE = "3"
PAGES = {"Users": "/users/", "Logs": "/logs/", "Admin": "/admin/"}
CODE = ("project", "accounts", "joblogs")
# Any number that is the same in each process.
_PREPARING = 7_562_564_705


class Command(BaseCommand):
    help = (
        "Run the site and a worker on this machine, both started again when code changes. Starts "
        "the embedded PostgreSQL unless DATABASE_URL is set, applies migrations, and creates the "
        "administrator 'admin' while there is no user. Ctrl-C (or SIGTERM) stops everything, the "
        "database last if this command started it and no other process uses it; the exit status "
        "is 0 then (130 for a Ctrl-C before it has begun). When the site or the worker ends by "
        "itself, the rest is stopped and its exit status is the command's (128+n after signal n)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of the site; 8000 by default")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        if not (find_spec("honcho") and find_spec("watchfiles")):
            raise CommandError("dev needs the dependency group 'embedded': honcho, watchfiles.")
        _check_port(port)
        # SIGTERM, and a terminal that is closed, are to clean up as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        connection = connections[DEFAULT_DB_ALIAS]
        server = connection.embedded if isinstance(connection, DatabaseWrapper) else None
        status = 0
        try:
            _wait_for_ones_turn()
            with _interrupted_afterwards():
                self.migrate()
                self.create_administrator()
            connections.close_all()
            for name, path in PAGES.items():
                self.stdout.write(f"{name + ':':<9}http://{HOST}:{port}{path}")
            self.stdout.write("Ctrl-C stops everything.")
            self.stdout.flush()
            status = run(port)
        except KeyboardInterrupt:
            pass
        finally:
            # From here on a second Ctrl-C could only leave the database running.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            connections.close_all()
            if server and server.started_here:
                stopped = server.stop_if_unused()
                self.stdout.write(
                    "Database stopped." if stopped else "Database left to those who still use it."
                )
        sys.exit(status)

    def migrate(self) -> None:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            call_command("migrate", interactive=False, verbosity=0)
        applied = f"{len(plan)} migration{'' if len(plan) == 1 else 's'}"
        self.stdout.write(f"Database ready, {applied} applied.")

    def create_administrator(self) -> None:
        users = get_user_model()._default_manager
        if users.exists():
            return
        password = secrets.token_urlsafe(12)
        users.create_superuser(username="admin", password=password)
        self.stdout.write(f"Log in as admin with password {password} (shown only this once).")


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Let a Ctrl-C, SIGTERM or SIGHUP wait for the end of a block, unless it comes twice.

    In the middle of migrations it could leave an index by half, be taken for an error of the
    database, or get lost where Python just runs a callback.
    """
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt


def _wait_for_ones_turn() -> None:
    """Let one process at a time prepare the database, until it closes its connection.

    Asked for again and again instead of waited for in the database, where migrations that build an
    index CONCURRENTLY would wait for the waiting one.
    """
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_PREPARING])
            if cursor.fetchone() == (True,):
                return
            time.sleep(0.1)


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise CommandError(f"Port {port} is not between 1 and 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} of {HOST} cannot be used: {error.strerror}. Try --port {port + 1}."
            ) from None


def run(port: int) -> int:
    """Run site and worker until Ctrl-C or until one of them ends; return the exit status."""
    from project.runner import Runner

    runner = Runner(sys.stdout.fileno())
    # Whoever sets these knows better.
    environment = {"DEBUG": "true", "HTTPS": "false"} | os.environ | {"PYTHONUNBUFFERED": "1"}
    site = ["-m", "uvicorn", "project.asgi:application", f"--host={HOST}", f"--port={port}"]
    # Django does not take part in ASGI's lifespan protocol.
    site += ["--lifespan=off", f"--timeout-graceful-shutdown={GRACE}"]
    worker = ["manage.py", "procrastinate", "worker", f"--shutdown-graceful-timeout={GRACE}"]
    for name, command, watched in (
        # Django keeps the templates it has read.
        ("web", site, [*CODE, "templates"]),
        ("worker", worker, CODE),
    ):
        runner.add(name, _reloading(command, watched), environment, settings.BASE_DIR)
    return runner.run()


def _reloading(command: Iterable[str], watched: Iterable[str]) -> str:
    """Return the shell's line that runs Python with `command`, anew whenever code changes."""
    options = [f"--watch={path}" for path in watched]
    reloader = [sys.executable, "-m", "project.reloader", f"--owner={os.getpid()}", *options]
    return "exec " + shlex.join([*reloader, "--", sys.executable, *command])
