"""Checkouts and embedded servers of the tests' own, all in temporary folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from project.postgres.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = ("manage.py", "project", "accounts", "joblogs", "templates", "pyproject.toml")
# What would lead a command away from its checkout's own server and settings.
_FOREIGN = {"DATABASE_URL", "SECRET_KEY", "DEBUG", "HTTPS", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch accounts")
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/cwd").exists(), reason="processes are found by way of /proc"
)


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN} | more


def processes_in(folder: Path) -> dict[int, str]:
    """Return the live processes that work in the folder: their ids and command lines."""
    found = {}
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(process.name)] = command.decode(errors="replace")
    return found


class Checkout:
    """A copy of the code, which has an embedded server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in CODE:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)
        self.server = EmbeddedPostgres(folder / ".postgres")

    def manage(
        self, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=env or environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )


def discard(server: EmbeddedPostgres) -> None:
    """Stop the server, and remove its folder outside the checkout."""
    server.stop_if_unused()
    server.stop()
    with suppress(FileNotFoundError):
        runtime = (server.folder / "runtime").read_text()
        for folder in (runtime, f"{runtime}-programs"):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path_factory.mktemp("checkout") / "with a space")
    yield checkout
    discard(checkout.server)


@pytest.fixture(scope="session")
def initialised_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder, complete and stopped, for tests that are not about making one."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("initialised") / ".postgres")
    server.ensure_running()
    discard(server)
    return server.data


@pytest.fixture
def new_server() -> Iterator[Callable[[Path], EmbeddedPostgres]]:
    """Make an EmbeddedPostgres in a folder of the test's choice, and stop it in the end."""
    servers: list[EmbeddedPostgres] = []

    def make(folder: Path) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(folder / ".postgres"))
        return servers[-1]

    yield make
    for server in servers:
        discard(server)


@pytest.fixture
def server(
    new_server: Callable[[Path], EmbeddedPostgres], initialised_data: Path, tmp_path: Path
) -> EmbeddedPostgres:
    """A server that is not running, on a data folder that is there."""
    server = new_server(tmp_path / "a checkout")
    shutil.copytree(initialised_data, server.data)
    server.folder.chmod(0o700)
    return server


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="joblogs-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
