"""What a side does in a process of its own, with its settings: python -m joblogs.benchmark.actions.

The answer is JSON on the standard output.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 2_000
# The last migration before the engine's.
STOCK_ENDS_AT = "0004"


def migrate(side: str) -> None:
    """Make the tables: all of Joblogs', or those of Procrastinate and of the users alone."""
    from django.core.management import call_command

    if side == "joblogs":
        call_command("migrate", verbosity=0)
    else:
        call_command("migrate", "joblogs", STOCK_ENDS_AT, verbosity=0)
        call_command("migrate", "accounts", verbosity=0)
        call_command("migrate", "procrastinate", verbosity=0)


def create_users(number: str) -> None:
    """Create users, and with them their jobs."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    for start in range(0, int(number), AT_ONCE):
        end = min(start + AT_ONCE, int(number))
        model._base_manager.bulk_create(
            model(username=f"user{index}") for index in range(start, end)
        )


def defer(task_name: str, number: str) -> None:
    """Defer jobs; of benchmark.write_log for users, who are created without jobs."""
    from django.contrib.auth import get_user_model
    from django.db.models import QuerySet
    from procrastinate.contrib.django import app

    task = app.configure_task(task_name)
    for start in range(0, int(number), AT_ONCE):
        indexes = range(start, min(start + AT_ONCE, int(number)))
        if task_name == "benchmark.write_log":
            model = get_user_model()
            # Not by their manager, which would defer jobs.
            plain: QuerySet[Any] = QuerySet(model)
            users = plain.bulk_create([model(username=f"user{index}") for index in indexes])
            task.batch_defer(*({"user_id": user.pk} for user in users))
        else:
            task.batch_defer(*({} for _ in indexes))


def save_users(number: str) -> float:
    """Save users one by one; return how many a second."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    model(username="the first one connects").save()
    started = time.perf_counter()
    for index in range(int(number)):
        model(username=f"user{index}").save()
    return int(number) / (time.perf_counter() - started)


def see_logs(number: str) -> list[float]:
    """Save users one at a time; return the milliseconds from each commit to the log."""
    import psycopg
    from django.contrib.auth import get_user_model
    from django.db import connection, transaction

    model = get_user_model()
    committed = 0.0

    def note() -> None:
        nonlocal committed
        committed = time.perf_counter()

    parameters = {
        name: value
        for name, value in connection.get_connection_params().items()
        if name not in ("context", "cursor_factory", "prepare_threshold")
    }
    look = "SELECT 1 FROM user_logs WHERE user_id = %s"
    latencies = []
    with psycopg.connect(**parameters, autocommit=True, prepare_threshold=0) as observer:
        for index in range(int(number)):
            # The worker is to be idle, and not in step with this process.
            time.sleep(random.uniform(0.03, 0.06))  # noqa: S311  # a pause, no secret
            user = model(username=f"user{index}")
            with transaction.atomic():
                # Called right after COMMIT, before Joblogs wakes its workers.
                transaction.on_commit(note)
                user.save()
            deadline = committed + 30
            while not observer.execute(look, [user.pk]).fetchone():
                if time.perf_counter() > deadline:
                    raise RuntimeError("a user's log did not come within 30 s")
                time.sleep(0.0002)
            latencies.append((time.perf_counter() - committed) * 1000)
    return latencies


def schedule(number: str, seconds: str) -> None:
    """Defer jobs that are due at random moments of the next seconds."""
    from django.utils import timezone
    from procrastinate.contrib.django import app

    now = timezone.now()
    for _ in range(int(number)):
        at = now + timedelta(seconds=random.uniform(1, 1 + float(seconds)))  # noqa: S311  # a pause, no secret
        app.configure_task("benchmark.nothing", schedule_at=at).defer()


def stock_worker(concurrency: str) -> None:
    """Be what `manage.py procrastinate worker` is where there is nothing but Procrastinate."""
    from django.core.management import call_command
    from procrastinate.contrib.django.management.commands.procrastinate import Command

    call_command(Command(), "worker", "-c", concurrency)


ACTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (migrate, create_users, defer, save_users, see_logs, schedule, stock_worker)
}

if __name__ == "__main__":
    django.setup()
    sys.stdout.write(json.dumps(ACTIONS[sys.argv[1]](*sys.argv[2:])))
