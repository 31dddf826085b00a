"""The PostgreSQL of the tests: a server of their own for each process that runs tests."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from project.postgres.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Data that nobody needs after a crash of the machine need not reach its disk. What PostgreSQL does
# and in which order stays the same: a commit still waits for its record to be written.
NOT_FOR_KEEPS = ("fsync", "full_page_writes")


@contextmanager
def server_not_for_keeps(folder: Path) -> Iterator[EmbeddedPostgres]:
    """Run a server in this folder, and remove it in the end."""
    server = EmbeddedPostgres(folder)
    try:
        host = str(server.ensure_running())
        with psycopg.connect(
            host=host, user="postgres", dbname="postgres", autocommit=True
        ) as session:
            for setting in NOT_FOR_KEEPS:
                session.execute(f"ALTER SYSTEM SET {setting} = off")
            session.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        discard(server)
        shutil.rmtree(folder, ignore_errors=True)


def discard(server: EmbeddedPostgres) -> None:
    """Stop the server, and remove its folders outside its own."""
    server.stop_if_unused()
    server.stop()
    with suppress(FileNotFoundError):
        runtime = (server.folder / "runtime").read_text()
        for folder in (runtime, f"{runtime}-programs"):
            shutil.rmtree(folder, ignore_errors=True)
