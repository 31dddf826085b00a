"""What docs/operations.md and its examples say, taken apart for those who check it."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management import get_commands, load_command_class
from procrastinate.contrib.django import app
from procrastinate.utils import CANCEL_ATTEMPTS, CANCEL_TIMEOUT

from joblogs.engine.draining import GIVING_BACK, LAST_LOOK, LAST_WORDS
from joblogs.engine.fetcher import LAST_ANSWER
from joblogs.engine.worker import GOODBYE

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "operations.md"
EXAMPLES = ROOT / "docs" / "examples"
#: What runs for ever, and what looks at it.
UNITS = ("joblogs-web.service", "joblogs-worker@.service")
PROBE = "joblogs-health.service"

# A fence may be indented, in a list.
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code in a language."""
    found = FENCE.findall(PAGE.read_text())
    return [textwrap.dedent(code).strip() for _, name, code in found if name == language]


def query_under(title: str) -> str:
    """Return the query that follows a paragraph which begins with a title in bold."""
    _, _, rest = PAGE.read_text().partition(f"**{title}.**")
    match = FENCE.search(rest)
    assert match, f"There is no query about {title}."
    return match[3]


def statement_with(words: str) -> str:
    """Return the one statement of the page in which there are these words."""
    [statement] = (each for each in blocks("sql") if words in each)
    return statement


def code_in_text() -> list[str]:
    """Return what stands in backticks in the page's text."""
    return re.findall(r"`([^`]+)`", FENCE.sub("", PAGE.read_text()))


def unit(name: str) -> dict[str, list[str]]:
    """Return the settings of a systemd unit; each may be there several times."""
    settings: dict[str, list[str]] = {}
    for line in (EXAMPLES / name).read_text().splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def start_of(name: str) -> list[str]:
    """Return the command line of a systemd unit, with its own variables in it."""
    settings = unit(name)
    [command] = settings["ExecStart"]
    for assignment in settings["Environment"]:
        variable, _, value = assignment.strip('"').partition("=")
        command = command.replace(f"${variable}", value)
    return shlex.split(command)


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the container file: their words and what follows."""
    lines = re.sub(r"\\\n\s*", "", (EXAMPLES / "Containerfile").read_text()).splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return [(word, rest) for word, _, rest in pairs]


def in_exec_form(instruction: str) -> list[str]:
    """Return the command of an instruction of the container file; raises without exec form."""
    [rest] = (rest for word, rest in instructions() if word == instruction)
    command: list[str] = json.loads(rest[rest.index("[") :])
    return command


def of_manage_py() -> list[list[str]]:
    """Return the arguments of all uses of manage.py on the page, in units and the image."""
    lines = [line for block in blocks("console") for line in re.split(r"\n|&&", block)]
    lines += [code for code in code_in_text() if "manage.py " in code]
    lines += [step for word, rest in instructions() if word == "RUN" for step in rest.split("&&")]
    commands = [shlex.split(line) for line in lines]
    commands += [start_of(name) for name in (*UNITS, PROBE)]
    commands += [in_exec_form("CMD"), in_exec_form("HEALTHCHECK")]
    return [
        command[command.index(word) + 1 :]
        for command in commands
        for word in command[:-1]
        # Other programs have it among their arguments.
        if word.endswith("manage.py") and not command[command.index(word) + 1].endswith("project")
    ]


def parser_of(command: str) -> ArgumentParser:
    """Return what reads the arguments of a command; raises CommandError for wrong ones."""
    application = get_commands()[command]
    assert isinstance(application, str)
    return load_command_class(application, command).create_parser("manage.py", command)


def worker_options(command: Sequence[str]) -> dict[str, Any]:
    """Return the options that a command line starts a worker with."""
    arguments = command[command.index("manage.py") + 1 :]
    assert arguments[:2] == ["procrastinate", "worker"]
    given = vars(parser_of("procrastinate").parse_args(arguments[1:]))
    return {**app.worker_defaults, **given}


def longest_stop(command: Sequence[str]) -> float:
    """Return how many seconds a worker so started may take to stop."""
    grace: float = worker_options(command)["shutdown_graceful_timeout"]
    ends = LAST_LOOK + LAST_WORDS + GIVING_BACK + LAST_ANSWER + CANCEL_ATTEMPTS * CANCEL_TIMEOUT
    # It may say goodbye to the database, to its threads and to those of asynchronous tasks.
    return grace + ends + 3 * GOODBYE


def seconds_of(text: str) -> int:
    """Return how long `40s` is."""
    assert text.endswith("s")
    return int(text[:-1])
