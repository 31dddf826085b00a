"""`manage.py benchmark`: Joblogs beside stock Procrastinate."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from argparse import ArgumentParser

# For each benchmark what it is and its options: default, least, meaning.
BENCHMARKS: dict[str, tuple[str, dict[str, tuple[int | None, int, str]]]] = {
    "drain": (
        "How fast one worker works off jobs that wait, how much memory it takes, how it stops.",
        {
            "jobs": (20_000, 20, "jobs in each run of ours; stock does a tenth of them"),
            "soak": (400_000, 0, "jobs after which memory and stop are measured; 0: not at all"),
        },
    ),
    "enqueue": (
        "How fast users are created, each with its job in the same transaction.",
        {
            "jobs": (1_000, 1, "users in each run through the ORM"),
            "seconds": (5, 1, "length of each run of pgbench"),
        },
    ),
    "latency": (
        "How soon a job runs that is ready or whose time comes, and what an idle worker asks.",
        {
            "jobs": (200, 5, "users in each run, one at a time; a quarter as many scheduled jobs"),
            "idle-seconds": (60, 1, "how long an idle worker is watched"),
        },
    ),
    "backlog": (
        "How long a fetch takes beside very many other jobs.",
        {
            "jobs": (1_000_000, 100, "jobs of a backlog; where locks or queues matter, a tenth"),
            "finished": (None, 1, "finished jobs of case (c); as many as --jobs if not given"),
            "samples": (30, 3, "fetches in each round"),
        },
    ),
}
FOR_ALL: dict[str, tuple[int | None, int, str]] = {
    "repeat": (3, 1, "how often each side is measured, by turns")
}


class Command(BaseCommand):
    help = (
        "Measure Joblogs beside stock Procrastinate, by turns and on the same server, and print "
        "medians (least-most), their ratio and the target. All is done in databases named "
        "joblogs_benchmark_..., made for it and dropped in the end; no other is touched. The "
        "server is the one that `manage.py runserver` would use: the embedded one or DATABASE_URL."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        subparsers = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
        for name, (description, options) in BENCHMARKS.items():
            subparser = subparsers.add_parser(name, help=description, description=description)
            for option, (default, _, meaning) in (options | FOR_ALL).items():
                shown = "" if default is None else f" (default: {default:,})"
                subparser.add_argument(
                    f"--{option}", type=int, metavar="N", default=default, help=meaning + shown
                )
            subparser.add_argument(
                "--only",
                metavar="REGEX",
                default="",
                help="measure only the cases whose names match this",
            )
            subparser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, benchmark: str, only: str, json: bool, **options: Any) -> None:
        # Nothing of this is loaded for `manage.py help`.
        from joblogs.benchmark.children import requests_heard
        from joblogs.benchmark.run import run
        from joblogs.benchmark.server import BenchmarkError

        try:
            re.compile(only)
        except re.error as error:
            raise CommandError(f"--only is no regular expression: {error}.") from error
        wanted = {}
        for option, (_, least, _) in (BENCHMARKS[benchmark][1] | FOR_ALL).items():
            name = option.replace("-", "_")
            value: int | None = options[name]
            if value is not None:
                if value < least:
                    raise CommandError(f"--{option} must be at least {least}, not {value}.")
                wanted[name] = value
        command = shlex.join(["manage.py", "benchmark", *sys.argv[2:]])
        try:
            # Whoever ends it finds nothing left either.
            with requests_heard():
                report = run(benchmark, command, only, wanted, self._say)
        except BenchmarkError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(report.as_json() if json else report.as_text())

    def _say(self, progress: str) -> None:
        self.stderr.write(progress, style_func=str)
        self.stderr.flush()
