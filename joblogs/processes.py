"""Several workers on one machine: what `manage.py procrastinate worker --processes 4` runs.

Each child is a worker of its own, in a session of its own, so that Ctrl-C in a terminal reaches it
by way of the parent alone. The parent does no job and has no connection to the database.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

# What asks the parent to stop. A worker knows the first two.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What it only hands on: to take no more jobs, and to take jobs again.
HINTS = (signal.SIGTSTP, signal.SIGCONT)
REQUESTS = STOPS + HINTS
# Seconds until a child that died is started again, and after how long a life they do not add up.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
LONG_LIFE = 60.0


@dataclass(slots=True, eq=False)
class Child:
    """A worker, and the ones started in its place."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = 0.0
    #: When to start it, again if it ends; None when it is not to run again.
    due: float | None = 0.0
    #: How it ended last, as a shell would tell it.
    status: int = 0


class Fleet:
    """Runs the command of a worker in as many processes as there are names.

    Each runs until the fleet is asked to stop or, when `one_shot`, until it ends with status 0.
    """

    def __init__(self, command: Sequence[str], names: Sequence[str], *, one_shot: bool) -> None:
        self.command = command
        self.children = [Child(name) for name in names]
        self.one_shot = one_shot
        # The children's end is at its end of file when this process is gone, however it went. The
        # other end is never closed and nobody else has it.
        self.lifeline, _ = os.pipe()

    def run(self) -> int:
        """Return when all are to be left ended: 0, or the status of one that failed."""
        self._listen()
        while True:
            for child in self.children:
                self._look_after(child)
            if all(child.process is None and child.due is None for child in self.children):
                return next((child.status for child in self.children if child.status), 0)
            for number in self._requests():
                if number in STOPS:
                    self._stop(number)
                else:
                    self._hand_on(number)

    def _listen(self) -> None:
        """Have the numbers of signals to read. For good: nothing comes after `run` but the end."""
        self._signals, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *REQUESTS):
            # What is ignored, as under nohup, stays ignored, here and in the children.
            if number is signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

    def _requests(self) -> list[int]:
        """Wait for a signal, or until a child is due; return the requests."""
        dues = [each.due for each in self.children if not each.process and each.due is not None]
        timeout = max(min(dues) - time.monotonic(), 0) if dues else None
        ready, _, _ = select.select([self._signals], [], [], timeout)
        numbers = os.read(self._signals, 512) if ready else b""
        return [number for number in numbers if number in REQUESTS]

    def _stop(self, number: int) -> None:
        """Hand a request on to those that run; a second one is theirs to understand, too."""
        logger.info("%s received, stopping the workers", signal.Signals(number).name)
        for child in self.children:
            child.due = None
        self._hand_on(signal.SIGTERM if number == signal.SIGHUP else number)

    def _hand_on(self, number: int) -> None:
        for child in self.children:
            if child.process:
                child.process.send_signal(number)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process and (status := child.process.poll()) is not None:
            process, child.process = child.process, None
            child.status = status if status >= 0 else 128 - status
            how = f"status {status}" if status >= 0 else f"signal {signal.strsignal(-status)}"
            ended = f"{child.name} (process {process.pid}) ended with {how}"
            if child.due is None or (self.one_shot and not status):
                child.due = None
                logger.log(logging.WARNING if status else logging.INFO, "%s", ended)
            else:
                child.pause = next_pause(child.pause, now - child.started_at)
                child.due = now + child.pause
                logger.warning("%s, starting it again in %g s", ended, child.pause)
        if not child.process and child.due is not None and child.due <= now:
            self._start(child)

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(  # noqa: S603  # our own command line
            # What comes last counts.
            [*self.command, "--processes=1", f"--name={child.name}", f"--lifeline={self.lifeline}"],
            pass_fds=[self.lifeline],
            start_new_session=True,
        )
        child.started_at = time.monotonic()
        logger.info("%s started (process %d)", child.name, child.process.pid)


def next_pause(pause: float, lived: float) -> float:
    """Return how many seconds to leave between a death and the next start, given the last ones."""
    return 0.0 if lived >= LONG_LIFE else min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)


def follow(lifeline: int) -> None:
    """Stop this process, as SIGTERM does, when the one that holds the lifeline is gone.

    A pipe needs no more than a thread and works wherever there are processes to fork. The signal
    that Linux has for it is sent when the parent's *thread* ends, and lost if that came first.
    """

    def wait_for_the_end() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_for_the_end, name="lifeline", daemon=True).start()
