"""What the embedded server says, in `.postgres/postgres.log`."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from project.postgres.locks import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST = 5_000_000
_TAIL = 8_000
_TELLING = ("FATAL:", "PANIC:", "error:", "ERROR:", "could not")
_HARMLESS = "the database system is"


class ServerLog:
    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def appending(self) -> Iterator[int]:
        """Open the log for a server that starts; a large one is put aside, and one is kept."""
        if self.path.exists() and self.path.stat().st_size > _LARGEST:
            self.path.replace(self.path.with_suffix(".log.1"))
        descriptor = open_private(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def last_complaint(self) -> str:
        """Return the last line that says what went wrong, else the last line."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _TAIL))
            lines = file.read().decode(errors="replace").split("\n")
        lines = [line.strip() for line in lines if line.strip()]
        complaints = [
            line
            for line in lines
            if any(word in line for word in _TELLING) and _HARMLESS not in line
        ]
        return (complaints or lines or [""])[-1]
