"""Requests to end, which are heard wherever they come, and processes that end with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

ENDS = (signal.SIGINT, signal.SIGTERM)
SOON = 0.01  # seconds


@contextmanager
def requests_heard() -> Iterator[None]:
    """Have SIGTERM end a block, too, by SystemExit, and have no request get lost.

    Python drops an exception that a signal raises amid a callback, such as the `__del__` of a
    connection. Then the request is made once more.
    """
    handler, hook = signal.signal(signal.SIGTERM, _exit), sys.unraisablehook

    def ask(number: int) -> None:
        if sys.unraisablehook is repeat:
            os.kill(os.getpid(), number)

    def repeat(dropped: sys.UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, KeyboardInterrupt | SystemExit):
            is_ctrl_c = isinstance(dropped.exc_value, KeyboardInterrupt)
            number = signal.SIGINT if is_ctrl_c else signal.SIGTERM
            threading.Timer(SOON, ask, (number,)).start()
        else:
            hook(dropped)

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, handler)


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a process during a block; kill it if it still runs at the end.

    Takes the options of `subprocess.Popen`, which itself leaves a process behind when a signal
    interrupts its start.
    """
    process = None
    try:
        with _requests_postponed():
            process = subprocess.Popen(command, **options)  # noqa: S603  # our own command lines
        yield process
    finally:
        if process:
            try:
                _end(process)
            finally:
                # A request may have kept the first call from it.
                _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    with _requests_postponed(), process:  # waits for it, and closes its pipes
        process.kill()


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, and return what it said."""
    pipe = subprocess.PIPE
    with running(command, stdout=pipe, stderr=pipe, text=True, **options) as process:
        output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@contextmanager
def _requests_postponed() -> Iterator[None]:
    """Have requests to end that have a handler wait for the end of a block."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDS}
    postponed = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in postponed:
            signal.signal(number, lambda number, _: asked.append(number))
        yield
    finally:
        for number, handler in postponed.items():
            signal.signal(number, handler)
        for request in asked:
            signal.raise_signal(request)
