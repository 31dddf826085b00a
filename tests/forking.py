"""Processes of the project that need not import it: forked from one that has.

They are real: with a pid, signals, connections and an end of their own. What they are forked from
is `python -m tests.forking FD`; it is told what to run over the socket FD, and ends with it.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
NUMBER = struct.Struct("i")


class ForkedProcess:
    """As subprocess.Popen, as far as the tests need it."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Return the exit status, -n for signal n, or None while it runs."""
        return self._read(timeout=0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; raises TimeoutExpired after so many seconds."""
        status = self._read(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _read(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            (self.returncode,) = NUMBER.unpack(self._status.recv(NUMBER.size))
            self._status.close()
        return self.returncode


class Mother:
    """Has set Django up in this environment, and forks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, arguments: Sequence[str], output: IO[str]) -> ForkedProcess:
        """Run a command of the checkout: what comes after `python`."""
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = [output.fileno(), theirs.fileno()]
            socket.send_fds(self._socket, [json.dumps(arguments).encode()], descriptors)
        (pid,) = NUMBER.unpack(self._socket.recv(NUMBER.size))
        return ForkedProcess(pid, ours)

    def end(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def mother_in(environment: frozenset[tuple[str, str]]) -> Mother:
    """Return this process's one Mother for the environment."""
    mother = Mother(dict(environment))
    atexit.register(mother.end)
    return mother


def serve(requests: socket.socket) -> list[str]:
    """Fork for each request, and return in the child what it is to run; ends with the socket."""
    children: dict[int, socket.socket] = {}
    wake, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([requests, wake], [], [])
        if wake in ready:
            wake.recv(4096)
            for pid in list(children):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    with children.pop(pid) as whom_to_tell:
                        whom_to_tell.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))
        if requests in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, 65_536, 2)
            if not message:
                sys.exit()
            output, told = descriptors
            pid = os.fork()
            if not pid:
                break
            children[pid] = socket.socket(fileno=told)
            os.close(output)
            requests.send(NUMBER.pack(pid))
    # What is the mother's alone.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in (requests, wake, waking, *children.values()):
        each.close()
    os.close(told)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    return json.loads(message)  # type: ignore[no-any-return]  # a list of texts


if __name__ == "__main__":
    import django

    django.setup()
    sys.argv = serve(socket.socket(fileno=int(sys.argv[1])))
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
