"""Procrastinate's command, with several processes for `worker`."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from typing import Any

from django.core.management.base import CommandError
from procrastinate.contrib.django import app
from procrastinate.contrib.django.management.commands import procrastinate
from procrastinate.worker import WORKER_NAME

from joblogs.processes import Fleet, follow


class Command(procrastinate.Command):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        [commands] = (
            action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
        )
        worker = commands.choices["worker"]
        worker.add_argument(
            "--processes",
            type=at_least_one,
            default=1,
            metavar="N",
            help="Number of such workers to run, each in a process with the given concurrency; "
            "one that dies is started again, and SIGTERM, SIGINT or SIGHUP stops all of them",
        )
        worker.add_argument(
            "--heartbeat-interval",
            dest="update_heartbeat_interval",
            type=seconds,
            default=argparse.SUPPRESS,
            metavar="SECONDS",
            help="How often to tell that the worker lives, and to look for others that do not",
        )
        worker.add_argument(
            "--dead-after",
            dest="stalled_worker_timeout",
            type=seconds,
            default=argparse.SUPPRESS,
            metavar="SECONDS",
            help="Age of a heartbeat after which a worker without its lock is dead, its jobs are "
            "given back; the same for all workers, several times their interval",
        )
        # How a fleet tells its processes of itself.
        worker.add_argument("--lifeline", type=int, help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        processes = options.pop("processes", 1)
        if (lifeline := options.pop("lifeline", None)) is not None:
            follow(lifeline)
        if processes == 1:
            # What is loaded by now stays: looking through it again and again for garbage slows a
            # worker down, and its end most of all.
            gc.collect()
            gc.freeze()
            # A pool tells of each try to connect; a worker tells once that the database is away.
            logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
            super().handle(*args, **options)
            return
        if sys.argv[1:2] != ["procrastinate"]:
            raise CommandError("--processes needs a command line of its own, to run it in each.")
        defaults = app.worker_defaults
        name = options.get("name") or defaults.get("name") or WORKER_NAME
        fleet = Fleet(
            [sys.executable, *sys.orig_argv[1:]],
            [f"{name}-{number + 1}" for number in range(processes)],
            one_shot=not options.get("wait", defaults.get("wait", True)),
        )
        sys.exit(fleet.run())


def seconds(text: str) -> float:
    """Return the time that a flag is given; raises ArgumentTypeError for what is none."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if 0 < number < float("inf"):
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


def at_least_one(text: str) -> int:
    """Return the number that a flag is given; raises ArgumentTypeError for what is none."""
    if text.isascii() and text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
