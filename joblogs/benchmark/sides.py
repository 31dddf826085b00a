"""Stock Procrastinate and Joblogs side by side: a database, settings and processes for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from joblogs.benchmark.children import run, running
from joblogs.benchmark.server import SQL, BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblogs.benchmark.server import Server

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "joblogs_benchmark"
# How long a worker may take to start, or to stop after it was asked to.
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Side:
    """One of the two: "stock" or "joblogs"."""

    name: str
    server: Server
    database: str
    #: For the logs of its workers.
    folder: Path

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return self.server.connect(self.database)

    def do(self, *arguments: object) -> Any:
        """Run joblogs.benchmark.actions in a process of its settings, and return its answer."""
        command = [sys.executable, "-m", "joblogs.benchmark.actions", *map(str, arguments)]
        done = run(command, cwd=ROOT, env=self._environment())
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            raise BenchmarkError(f"{self.name}: {arguments[0]} failed: {last}")
        return json.loads(done.stdout)

    @contextmanager
    def worker(self, concurrency: int) -> Iterator[Worker]:
        """Run one worker process until the end of the block."""
        log = Path(tempfile.mkstemp(dir=self.folder, prefix=f"{self.name}-", suffix=".log")[1])
        ours = ["manage.py", "procrastinate", "worker", "-c"]
        # `manage.py procrastinate` could be a command of ours under stock's name.
        stocks = ["-m", "joblogs.benchmark.actions", "stock_worker"]
        arguments = stocks if self.name == "stock" else ours
        command = [sys.executable, *arguments, str(concurrency)]
        environment = self._environment()
        with (
            log.open("w") as output,
            running(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as process,
        ):
            worker = Worker(self, process, log)
            try:
                yield worker
            finally:
                worker.stop()

    def empty(self) -> None:
        """Empty all tables that benchmarks fill, and leave the disk nothing to catch up with."""
        tables = ["users", "user_logs", "procrastinate_jobs", "procrastinate_events"]
        tables += ["procrastinate_workers", "procrastinate_periodic_defers"]
        if self.name == "joblogs":
            tables.append("job_logs")
        with self.connect() as session:
            session.execute(f"TRUNCATE {', '.join(tables)} CASCADE".encode())
            # Who may not ask for it has it some time.
            with suppress(psycopg.errors.InsufficientPrivilege):
                session.execute("CHECKPOINT")

    def fill(self, script: str, *, quietly: bool = False, **values: object) -> None:
        """Fill the table of jobs by a script of SQL; quietly: without events and notices."""
        with self.connect() as session, psycopg.ClientCursor(session) as cursor:
            if quietly:
                cursor.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
            cursor.execute((SQL / script).read_bytes(), values)
            if quietly:
                cursor.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if name != "DATABASE_POOL_SIZE"
        }
        return {
            **inherited,
            "DATABASE_URL": self.server.url(self.database),
            "DJANGO_SETTINGS_MODULE": f"joblogs.benchmark.{self.name}_settings",
            "SECRET_KEY": "only for benchmarks",
            "LOG_LEVEL": "INFO",
        }


class Worker:
    """A worker process that may have just been started."""

    def __init__(self, side: Side, process: subprocess.Popen[bytes], log: Path) -> None:
        self.side = side
        self.process = process
        self.log = log

    def wait_until_ready(self) -> None:
        """Wait until it listens for new jobs."""
        deadline = time.monotonic() + PATIENCE
        # What a session did last: ours takes a lock after it has begun to listen.
        listening = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND query ~* '^listen|joblogs_worker_lock'"
        )
        with self.side.connect() as session:
            while session.execute(listening, [self.side.database]).fetchone() == (0,):
                self.see_it_alive()
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{self.side.name}: the worker does not start.")
                time.sleep(0.05)

    def see_it_alive(self) -> None:
        """Raise BenchmarkError if it has ended."""
        if self.process.poll() is not None:
            last = (self.log.read_text().strip().splitlines() or ["nothing said"])[-1]
            raise BenchmarkError(f"{self.side.name}: the worker ended: {last}")

    def megabytes(self) -> float:
        """Return its resident memory."""
        shown = subprocess.run(  # noqa: S603  # a program of every system
            ["ps", "-o", "rss=", "-p", str(self.process.pid)],  # noqa: S607  # found on the PATH
            capture_output=True,
            text=True,
            check=True,
        )
        return int(shown.stdout) / 1024

    def stop(self) -> None:
        """Ask it to stop, unless it has, and wait until it has."""
        if self.process.poll() is None:
            self.process.terminate()
            self.wait()

    def wait(self) -> float:
        """Wait until its process has ended; return how many milliseconds that took."""
        started = time.perf_counter()
        # wait() without a timeout returns at once; with one it looks every now and then.
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        try:
            watchdog.start()
            self.process.wait()
        finally:
            watchdog.cancel()
        return (time.perf_counter() - started) * 1000


@contextmanager
def both_sides(server: Server) -> Iterator[tuple[Side, Side]]:
    """Make a database for stock and one for Joblogs, and drop them in the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="joblogs-benchmark-")))
        sides = [
            Side(name, server, stack.enter_context(server.database(f"{PREFIX}_{name}")), folder)
            for name in ("stock", "joblogs")
        ]
        for side in sides:
            side.do("migrate", side.name)
        stock, joblogs = sides
        yield stock, joblogs
