"""The engine's SQL, each query in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString


def _read(name: str) -> LiteralString:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()


DEFER_JOBS = _read("defer_jobs")
FETCH_JOBS = _read("fetch_jobs")
FINISH_JOBS = _read("finish_jobs")
JOBS_TO_ABORT = _read("jobs_to_abort")
NEXT_DUE = _read("next_due")
OWNED_JOBS = _read("owned_jobs")
WAKE = _read("wake")
