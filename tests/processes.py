"""The processes of the project, run as people run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from tempfile import TemporaryFile
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from django.db import connection

from tests.forking import ROOT, ForkedProcess, mother
from tests.ports import free_port
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def database_url(**instead: object) -> str:
    """Return the DATABASE_URL with which another process uses the tests' database.

    `instead` are parameters that differ: database_url(host="127.0.0.1", port=6432).
    """
    parameters = connection.get_connection_params() | instead
    query: dict[str, object] = {
        name: parameters[name]
        for name in ("host", "port", "user", "password")
        if name in parameters
    }
    return f"postgresql:///{parameters['dbname']}?{urlencode(query, quote_via=quote)}"


def run_forked(
    *arguments: str, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run what comes after `python` on a command line to its end, as subprocess.run does."""
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        process = mother().fork(arguments, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
        try:
            status = process.wait(timeout=100)
        finally:
            process.kill()
            process.wait()
        texts = [output.read() for output in (stdout, stderr) if output.seek(0) == 0]
    return subprocess.CompletedProcess(arguments, status, *texts)


class Process:
    """A command of this checkout, on the database that `url` names.

    `variables` are set in its environment. With `forked=False`, for tests about the command line,
    it is a Python of its own; else it is forked from one that has imported Django.
    """

    process: subprocess.Popen[str] | ForkedProcess

    def __init__(
        self, *arguments: str, url: str, log: Path, forked: bool = True, **variables: str
    ) -> None:
        self.log_file = log
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "SECRET_KEY": "only for tests",
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            **variables,
        }
        with log.open("w") as output:
            if forked:
                self.process = mother().fork(
                    arguments, cwd=ROOT, env=environment, stdout=output, stderr=output
                )
            else:
                self.process = subprocess.Popen(
                    [sys.executable, *arguments],
                    cwd=ROOT,
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        if not self.has_ended:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class WorkerProcess(Process):
    """`manage.py procrastinate worker`."""

    def __init__(self, *flags: str, url: str, log: Path) -> None:
        command = ("manage.py", "procrastinate", "worker", *flags)
        super().__init__(*command, url=url, log=log, forked=False)

    def wait_until_ready(self) -> None:
        wait_for(lambda: "Starting worker" in self.log or self.has_ended)


class WebServer(Process):
    """The web server, as `manage.py dev` runs it, on a free port."""

    def __init__(self, *, url: str, log: Path, **variables: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        command = ("-m", "uvicorn", "project.asgi:application", f"--port={self.port}")
        super().__init__(*command, url=url, log=log, forked=True, **variables)

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.has_ended or self._answers())
        assert not self.has_ended, self.log

    def _answers(self) -> bool:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            try:
                connection.request("GET", "/login/")
                connection.getresponse().read()
            except (OSError, HTTPException):
                return False
        return True
