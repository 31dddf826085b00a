"""Several processes under one log: honcho, mended where Ctrl-C at a bad moment would hang it."""

from __future__ import annotations

import multiprocessing
import os
import queue
from typing import TYPE_CHECKING

from honcho.manager import KILL_WAIT, SYSTEM_PRINTER_NAME, Manager  # type: ignore[import-untyped]  # no types
from honcho.printer import Message, Printer  # type: ignore[import-untyped]  # no types

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# How honcho reports them.
_REQUESTS = ("SIGINT received\n", "SIGTERM received\n")


class Runner(Manager):  # type: ignore[misc]  # honcho has no types
    """Runs processes until one of them ends or a signal asks to stop."""

    def __init__(self, descriptor: int) -> None:
        self.asked_to_stop = False
        super().__init__(_SystemPrinter(self, _Unbuffered(descriptor)))

    def add(self, name: str, command: str, environment: Mapping[str, str], folder: Path) -> None:
        """Add a shell command, which must end at SIGTERM."""
        self.add_process(name, command, env=dict(environment), cwd=str(folder))

    def run(self) -> int:
        """Return 0 when asked to stop, else the exit status of the process that ended first."""
        try:
            self.loop()
        except BaseException:
            self._hear_who_started()
            for known in self._processes.values():
                if "pid" in known and "returncode" not in known:
                    self._procmgr.terminate(known["pid"])
            # What honcho runs them in ends with them, ignores requests to stop, and would be
            # waited for at exit.
            for process in multiprocessing.active_children():
                process.join(KILL_WAIT)
                process.kill()
            raise
        return 0 if self.asked_to_stop else int(self.returncode)

    def _hear_who_started(self) -> None:
        """Learn the ids of processes that started a moment ago; what runs them tells these."""
        for known in self._processes.values():
            while "process" in known and "pid" not in known:
                try:
                    message = self.events.get(timeout=KILL_WAIT)
                except queue.Empty:
                    return
                if message.type == "start":
                    self._processes[message.name]["pid"] = message.data["pid"]

    def terminate(self) -> None:
        # A signal handler calls this, perhaps before honcho knows the process ids it needs here;
        # the printer calls it again when it does.
        if self._all_started():
            super().terminate()


class _SystemPrinter(Printer):  # type: ignore[misc]  # honcho has no types
    """Learns from honcho's own lines what its return code does not tell."""

    def __init__(self, runner: Runner, output: _Unbuffered) -> None:
        super().__init__(output)
        self.runner = runner

    def write(self, message: Message) -> None:
        try:
            super().write(message)
        except OSError:
            # Nobody reads any more: the terminal was closed, or `head` has seen enough.
            self.output.discard()
            self.runner.asked_to_stop = True
            self.runner.terminate()
        if message.name == SYSTEM_PRINTER_NAME:
            if message.data in _REQUESTS:
                self.runner.asked_to_stop = True
            elif self.runner.asked_to_stop:
                self.runner.terminate()


class _Unbuffered:
    """A text stream without the buffer of Python's own.

    honcho prints in a signal handler, too, and a buffer refuses a line amid another.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, text: str) -> None:
        data = text.encode(errors="replace")
        while data:
            data = data[os.write(self.descriptor, data) :]

    def discard(self) -> None:
        """Send all that is still to come nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.descriptor)

    def flush(self) -> None:
        """Do nothing: all is written."""
