"""What signals ask of a worker."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from joblogs.engine.worker import Worker

# Seconds in which a second request to stop is the first one once more: a service manager may send
# it to a worker, and to the parent that hands it on.
ONE_REQUEST = 0.5


@contextmanager
def on_signals(worker: Worker) -> Iterator[None]:
    """Let a worker hear signals, if it has the process for itself.

    SIGTERM and SIGINT: finish what runs, then end; the second one: end now. SIGTSTP: take nothing
    new, and stay. SIGCONT: take jobs again. What is ignored, as under nohup, stays ignored.
    """
    if not has_the_process(worker):
        yield
        return
    asked_at: float | None = None

    def stop() -> None:
        nonlocal asked_at
        now = time.monotonic()
        if asked_at is None:
            asked_at = now
            worker.stop()  # type: ignore[no-untyped-call]  # Procrastinate leaves it untyped
        elif now - asked_at > ONE_REQUEST:
            worker.logger.warning("Asked to stop once more: leaving now")
            worker.leave()

    handlers: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: stop,
        signal.SIGINT: stop,
        signal.SIGTSTP: worker.be_quiet,
        signal.SIGCONT: worker.go_on,
    }
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in handlers}
    heard = [number for number in handlers if before[number] is not signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, handlers[number])
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def has_the_process(worker: Worker) -> bool:
    """Tell whether a worker has its process for itself, as that of the command has."""
    is_main = threading.current_thread() is threading.main_thread()
    return worker.install_signal_handlers and is_main


def leave_process(worker: Worker) -> None:
    """End the process of a worker now, as asked: nothing else would end its threads."""
    if has_the_process(worker):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
