"""A server for these tests, with the databases that stages are copied from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.server import PostgresServer
from tests.chaos.stage import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all processes write their logs."""
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="session")
def server(logs: Path) -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        prepare(server, "joblogs", logs)
        yield server
