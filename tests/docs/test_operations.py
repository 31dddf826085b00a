"""What docs/operations.md tells people to type works, and finds what it is to find."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db.migrations.loader import MigrationLoader
from uvicorn.main import main as uvicorn

from tests.docs.pages import (
    EXAMPLES,
    PAGE,
    UNITS,
    blocks,
    code_in_text,
    of_manage_py,
    parser_of,
    start_of,
)
from tests.sql import execute


def options_of(*command: str) -> set[str]:
    """Return the options of a command, `--help` included."""
    parser: Any = parser_of(command[0])
    for name in command[1:]:
        [subparsers] = (action for action in parser._actions if isinstance(action.choices, dict))
        parser = subparsers.choices[name]
    return set(parser._option_string_actions)


@pytest.mark.parametrize("arguments", of_manage_py(), ids=" ".join)
def test_manage_py_understands_every_command_of_the_page(
    arguments: list[str],
) -> None:
    command, *rest = arguments
    parser_of(command).parse_args(rest)


def test_every_flag_of_the_page_is_one_of_workers_or_health() -> None:
    flags = {
        flag for code in code_in_text() for flag in re.findall(r"^--[a-z-]+|(?<= )--[a-z-]+", code)
    }
    known = options_of("procrastinate", "worker") | options_of("health")
    # Of programs that are not ours.
    others = {
        *("--all", "--analyze-in-stages", "--missing-stats-only", "--analyze-only", "--format"),
        *("--detach", "--scale", "--kill-whom", "--signal"),
    }
    assert flags - others <= known
    assert {"--no-listen-notify", "--shutdown-graceful-timeout"} <= flags


def test_the_page_names_migrations_that_there_are() -> None:
    loader = MigrationLoader(None)
    named = [rest for command, *rest in of_manage_py() if command == "migrate" and len(rest) == 2]
    assert named
    for app, name in named:
        loader.get_migration_by_prefix(app, name)


def test_uvicorn_understands_the_command_that_starts_the_site() -> None:
    program, *arguments = start_of("joblogs-web.service")
    assert program.endswith("/uvicorn")
    with uvicorn.make_context("uvicorn", arguments) as context:
        assert context.params["app"] == "project.asgi:application"


def test_every_file_that_the_page_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE.read_text())
    assert {f"examples/{name}" for name in UNITS} <= set(links)
    for link in links:
        assert (PAGE.parent / link).exists(), link
    assert {path.name for path in EXAMPLES.iterdir()} == {
        link.removeprefix("examples/") for link in links if link.startswith("examples/")
    } - {""}


@pytest.mark.django_db
@pytest.mark.parametrize("statement", blocks("sql"), ids=lambda sql: " ".join(sql.split())[:60])
def test_postgresql_understands_every_statement_of_the_page(statement: str) -> None:
    execute(statement)
