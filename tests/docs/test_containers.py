"""The container file and the compose file, which are read here and cannot be run."""

from __future__ import annotations

import re
import shlex
import sys
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from uvicorn.main import main as uvicorn

from tests.docs.pages import (
    EXAMPLES,
    ROOT,
    in_exec_form,
    instructions,
    longest_stop,
    parser_of,
    seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def words_of(instruction: str) -> Iterator[list[str]]:
    for word, rest in instructions():
        if word == instruction:
            yield shlex.split(rest)


def copied() -> set[str]:
    """Return what comes into the image from the checkout."""
    sources = (words[:-1] for words in words_of("COPY") if not words[0].startswith("--"))
    return {source for some in sources for source in some}


def test_all_code_and_only_what_is_there_is_in_the_image() -> None:
    assert copied() == {
        *("requirements.txt", "manage.py", "project", "accounts", "joblogs", "templates")
    }
    assert all((ROOT / source).exists() for source in copied())


def test_the_builds_folder_holds_what_is_copied_and_no_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:].rstrip("/") for rule in rules if rule.startswith("!")} == copied()
    assert not any(fnmatch(source, rule) for source in copied() for rule in rules[1:])


def test_packages_are_those_of_the_lock_file_with_its_hashes() -> None:
    steps = [step for _, step in instructions() if "pip install" in step]
    [command] = [shlex.split(step) for step in steps]
    assert command[2:] == ["--no-cache-dir", "--require-hashes", "-r", "/requirements.txt"]


def test_the_image_has_the_python_of_these_tests() -> None:
    [[argument]] = words_of("ARG")
    assert argument == f"PYTHON={sys.version_info.major}.{sys.version_info.minor}"
    assert {words[0] for words in words_of("FROM")} == {"python:${PYTHON}-slim"}


def test_the_image_is_no_roots_and_its_worker_hears_signals() -> None:
    [[user]] = words_of("USER")
    assert int(user) > 0
    # What comes after it is run by that user, and no file is changed any more.
    names = [word for word, _ in instructions()]
    assert not {"COPY", "RUN"} & set(names[names.index("USER") :])
    assert [words[0] for words in words_of("STOPSIGNAL")] == ["SIGTERM"]
    assert in_exec_form("CMD")[:2] == ["python", "manage.py"]
    assert in_exec_form("HEALTHCHECK")[:3] == ["python", "manage.py", "health"]


def test_the_image_holds_no_secret() -> None:
    for words in words_of("ENV"):
        assert not {word.partition("=")[0] for word in words} & {"SECRET_KEY", "DATABASE_URL"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    with (EXAMPLES / "compose.yaml").open() as file:
        content: dict[str, Any] = yaml.safe_load(file)
    return content


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    services: dict[str, Any] = compose["services"]
    assert set(services) == {"db", "migrate", "worker", "web"}
    return services


def test_compose_builds_what_the_container_file_says(services: dict[str, Any]) -> None:
    for name in ("migrate", "worker", "web"):
        build = services[name]["build"]
        folder = (EXAMPLES / build["context"]).resolve()
        assert (folder, folder / build["dockerfile"]) == (ROOT, EXAMPLES / "Containerfile")


def test_commands_of_compose_are_understood(services: dict[str, Any]) -> None:
    for name in ("migrate", "worker"):
        python, manage, command, *arguments = services[name]["command"]
        assert (python, manage) == ("python", "manage.py")
        parser_of(command).parse_args(arguments)
    program, *arguments = services["web"]["command"]
    assert program == "uvicorn"
    with uvicorn.make_context("uvicorn", arguments) as context:
        assert context.params["app"] == "project.asgi:application"


def test_compose_gives_everybody_the_time_that_they_take_to_stop(services: dict[str, Any]) -> None:
    limit = seconds_of(services["worker"]["stop_grace_period"])
    assert limit > longest_stop(services["worker"]["command"])
    [grace] = re.findall(r"--timeout-graceful-shutdown=(\d+)", " ".join(services["web"]["command"]))
    assert seconds_of(services["web"]["stop_grace_period"]) >= int(grace) + 5
    assert all(services[name]["init"] for name in ("worker", "web"))


def test_compose_starts_all_again_but_the_migrations(services: dict[str, Any]) -> None:
    assert {name: service["restart"] for name, service in services.items()} == {
        "db": "unless-stopped",
        "migrate": "no",
        "worker": "unless-stopped",
        "web": "unless-stopped",
    }


def test_compose_starts_nothing_before_what_it_needs(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    for name in ("worker", "web"):
        migrated = {"migrate": {"condition": "service_completed_successfully"}}
        assert services[name]["depends_on"] == migrated


def test_compose_asks_the_site_where_it_answers(services: dict[str, Any]) -> None:
    [probe] = (word for word in services["web"]["healthcheck"]["test"] if "urlopen" in word)
    compile(probe, "compose.yaml", "exec")
    assert "http://127.0.0.1:8000/healthz" in probe
    assert "--port=8000" in services["web"]["command"]
    assert services["web"]["ports"] == ["127.0.0.1:8000:8000"]


def test_compose_takes_secrets_from_variables_and_holds_none(
    services: dict[str, Any],
) -> None:
    text = (EXAMPLES / "compose.yaml").read_text()
    wanted = set(re.findall(r"\$\{(\w+):\?\}", text))
    assert len(re.findall(r"\$\{\w+:\?\}", text)) == text.count("$")
    example = (EXAMPLES / "joblogs.env").read_text()
    assert wanted <= set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    for name in ("worker", "web"):
        assert set(services[name]["environment"]) == (
            wanted - {"POSTGRES_PASSWORD"} | {"DATABASE_URL"}
        )


def test_data_is_where_postgresql_18_keeps_it(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    assert services["db"]["image"] == "postgres:18"
    assert services["db"]["volumes"] == ["database:/var/lib/postgresql"]
    assert set(compose["volumes"]) == {"database"}
