"""Advisory locks on files, which the kernel releases however their holders end."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from project.postgres.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Long enough for a recovery after a crash, and for a server that lost its socket, which notices
# within a minute.
PATIENCE = 90.0


def attempts(seconds: float = PATIENCE) -> Iterator[float]:
    """Yield the seconds passed, at once and then every few milliseconds, until `seconds` have."""
    start = time.monotonic()
    passed = 0.0
    while passed <= seconds:
        yield passed
        time.sleep(0.01)
        passed = time.monotonic() - start


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """Open a file of the server's folder, made when missing, for those who may use the folder."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock if it is free; closing the descriptor gives it up."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Give the lock up, also for processes forked since, and close the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def wait_for_lock(path: Path, *, shared: bool = False, seconds: float = PATIENCE) -> int:
    """Return a descriptor that holds the lock."""
    descriptor = open_private(path)
    for _ in attempts(seconds):
        if try_lock(descriptor, shared=shared):
            return descriptor
    os.close(descriptor)
    raise DatabaseUnreachable(f"{path} is locked by another process for {seconds:.0f} s now")


@contextmanager
def locked(path: Path, seconds: float = PATIENCE) -> Iterator[None]:
    """Let one process, and in it one thread, at a time in here."""
    descriptor = wait_for_lock(path, seconds=seconds)
    try:
        yield
    finally:
        unlock(descriptor)


def is_locked(path: Path) -> bool:
    """Say whether somebody holds the lock, without waiting and without keeping it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    if not try_lock(descriptor, shared=True):
        os.close(descriptor)
        return True
    unlock(descriptor)
    return False
