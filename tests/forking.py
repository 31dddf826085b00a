"""Processes that need not import Django first: forked from one that has.

They are real: with a pid, signals, connections and an end of their own, in the environment and the
folder they are given. Only their command line, as `ps` shows it, is that of what they are forked
from: `python -m tests.forking FD MODULES`, which is told over the socket FD what to run, and ends
with it.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
NUMBER = struct.Struct("i")
# What takes long to import and is the same for all. Nothing of the project, which reads its
# settings from the environment.
PACKAGES = {
    *("asgiref", "attr", "django", "environs", "marshmallow"),
    *("procrastinate", "psycopg", "psycopg_pool", "uvicorn", "whitenoise"),
}


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
            # It may have ended a moment ago.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _read(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            status = self._status.recv(NUMBER.size)
            assert status, "what this process was forked from is gone"
            (self.returncode,) = NUMBER.unpack(status)
            self._status.close()
        return self.returncode


class Mother:
    """What processes are forked from."""

    def __init__(self) -> None:
        # Without settings it cannot import what depends on them.
        environment = {**os.environ}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        modules = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
        self._socket, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking", str(descriptor), ",".join(modules)],
                cwd=ROOT,
                env=environment,
                pass_fds=[descriptor],
            )

    def fork(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: IO[str],
        stderr: IO[str],
    ) -> ForkedProcess:
        """Run what comes after `python` on a command line."""
        ours, theirs = socket.socketpair()
        with theirs:
            message = json.dumps([arguments, str(cwd), dict(env)]).encode()
            descriptors = [stdout.fileno(), stderr.fileno(), theirs.fileno()]
            socket.send_fds(self._socket, [message], descriptors)
        (pid,) = NUMBER.unpack(self._socket.recv(NUMBER.size))
        return ForkedProcess(pid, ours)

    def end(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def mother() -> Mother:
    """Return this process's one Mother, which is ended when the tests are."""
    return Mother()


def serve(requests: socket.socket) -> list[str]:
    """Fork for each request, and return in the child what it is to run; ends with the socket."""
    children: dict[int, socket.socket] = {}
    wake, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C is for the tests, which need this process to end what they have started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([requests, wake], [], [])
        if wake in ready:
            wake.recv(4096)
            for pid in list(children):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    # Perhaps nobody is left to be told.
                    with children.pop(pid) as whom_to_tell, suppress(BrokenPipeError):
                        whom_to_tell.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))
        if requests in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, 131_072, 3)
            if not message:
                sys.exit()
            pid = os.fork()
            if not pid:
                break
            stdout, stderr, told = descriptors
            os.close(stdout)
            os.close(stderr)
            children[pid] = socket.socket(fileno=told)
            requests.send(NUMBER.pack(pid))
    # What is the mother's alone.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in (requests, wake, waking, *children.values()):
        each.close()
    for standard, given in zip((1, 2), descriptors, strict=False):
        os.dup2(given, standard)
    for given in descriptors:
        os.close(given)
    arguments, cwd, environment = json.loads(message)
    os.chdir(cwd)
    sys.path[0] = cwd
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    return list(arguments)


def run(first: str, *more: str) -> None:
    """Do what Python does with this command line."""
    if first == "-c":
        sys.argv = ["-c", *more[1:]]
        sys.modules["__main__"] = module = ModuleType("__main__")
        exec(compile(more[0], "<string>", "exec"), module.__dict__)  # noqa: S102  # as Python does
    elif first == "-m":
        sys.argv = list(more)
        runpy.run_module(more[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *more]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    for name in sys.argv[2].split(","):
        with suppress(Exception):
            import_module(name)
    assert not {"accounts", "joblogs", "project"}.intersection(sys.modules)
    # So that a child's garbage collector leaves alone what both share.
    gc.freeze()
    run(*serve(socket.socket(fileno=int(sys.argv[1]))))
