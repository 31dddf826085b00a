"""The engine's SQL, each query in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString


def _read(name: str) -> LiteralString:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()


DEATHS = _read("deaths")
DEFER_JOBS = _read("defer_jobs")
END_LOCK_HOLDER = _read("end_lock_holder")
END_SESSION = _read("end_session")
FETCH_JOBS = _read("fetch_jobs")
FINISH_JOBS = _read("finish_jobs")
HEARTBEAT = _read("heartbeat")
IDLE_SESSIONS = _read("idle_sessions")
JOBS_TO_ABORT = _read("jobs_to_abort")
LOCK_WORKER = _read("lock_worker")
NEXT_DUE = _read("next_due")
OWNED_JOBS = _read("owned_jobs")
PUT_BACK = _read("put_back")
REGISTER_WORKER = _read("register_worker")
RESCUE_JOBS = _read("rescue_jobs")
RETRY_JOB = _read("retry_job")
SESSION_BEGAN = _read("session_began")
SET_SESSION = _read("set_session")
TAKEN_JOBS = _read("taken_jobs")
UNREGISTER_WORKER = _read("unregister_worker")
WAKE = _read("wake")
