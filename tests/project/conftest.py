"""Checkouts and embedded servers of the tests' own, all in temporary folders."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from project.postgres.embedded import EmbeddedPostgres
from tests.checkouts import Checkout
from tests.servers import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
