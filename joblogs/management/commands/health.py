"""Tell by the exit status whether all is well: for probes of containers, systemd, monitoring."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from joblogs.health import Limits, examine

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import CommandParser

    from joblogs.health import Check

MAX_AGE = 300.0  # seconds
LONGEST = 365 * 24 * 3600.0  # seconds


class Command(BaseCommand):
    help = (
        "Look whether the database answers, workers are alive, and no job that is ready waits too "
        "long. Prints a line for each, and exits with 0 if all is well, 1 if not, 2 if it was not "
        "understood."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--min-workers",
            type=_whole_number(least=0),
            default=1,
            metavar="N",
            help="how many workers have to be alive (default: 1)",
        )
        parser.add_argument(
            "--queues",
            type=_names,
            default=(),
            metavar="A,B",
            help="queues each of which has to be served by as many workers; the age of jobs in "
            "others does not matter then",
        )
        parser.add_argument(
            "--max-age",
            type=_seconds,
            metavar="SECONDS",
            help=f"how long a job may be ready without being started (default: {MAX_AGE:g}; with "
            "--this-host or --pid for as long as it likes, as a worker is not to be restarted "
            "because there is much to do)",
        )
        parser.add_argument(
            "--timeout",
            type=_seconds,
            default=5.0,
            metavar="SECONDS",
            help="how long all this may take (default: 5)",
        )
        parser.add_argument(
            "--this-host", action="store_true", help="count only the workers of this host"
        )
        parser.add_argument(
            "--pid",
            type=_whole_number(least=1),
            metavar="PID",
            help="count only the worker in this process of this host",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(
        self,
        *args: Any,
        min_workers: int,
        queues: tuple[str, ...],
        max_age: float | None,
        timeout: float,
        this_host: bool,
        pid: int | None,
        json: bool,
        **options: Any,
    ) -> None:
        one_host = this_host or pid is not None
        if max_age is None and not one_host:
            max_age = MAX_AGE
        checks = examine(
            Limits(
                workers=min_workers,
                queues=queues,
                age=max_age,
                host=socket.gethostname() if one_host else None,
                pid=pid,
            ),
            timeout,
        )
        self.stdout.write(_as_json(checks) if json else _as_text(checks))
        if not all(check.ok for check in checks):
            sys.exit(1)


def _as_text(checks: list[Check]) -> str:
    return "\n".join(
        f"{'ok' if check.ok else 'FAILED':<6} {check.name}: {check.message}" for check in checks
    )


def _as_json(checks: list[Check]) -> str:
    all_well = all(check.ok for check in checks)
    return json.dumps({"ok": all_well, "checks": [check._asdict() for check in checks]})


def _whole_number(least: int) -> Callable[[str], int]:
    """Return what reads such a number from a flag."""

    def read(text: str) -> int:
        # Python reads no number of thousands of digits.
        if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")

    return read


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if "" in names:
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name in it")
    return names
