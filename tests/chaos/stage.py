"""What a trouble happens to: a database, workers on it, and somebody who creates users."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Literal, LiteralString

from tests.chaos.proxy import Proxy
from tests.chaos.server import query_of
from tests.processes import Process
from tests.waiting import wait_for

if TYPE_CHECKING:
    import random
    from pathlib import Path
    from typing import Self

    from tests.chaos.server import PostgresServer

Side = Literal["joblogs", "stock"]

WORKERS = 2
CONCURRENCY = 10
#: The command of a worker; `manage.py procrastinate` could be a command of ours under stock's name.
COMMANDS = {
    "joblogs": ("manage.py", "procrastinate", "worker", "-c", str(CONCURRENCY)),
    "stock": ("-m", "joblogs.benchmark.actions", "stock_worker", str(CONCURRENCY)),
}
#: Seconds after which PostgreSQL ends the sessions of a worker that gives no sign of life, as it is
#: asked to by `joblogs.engine.sessions`; stock leaves it at the hours of the operating system.
KEEPALIVES = {"joblogs": 11.0, "stock": None}
#: What a worker says that ends for that reason; see "Never gives up" in docs/engine.md.
NO_DATABASE = "Error: Cannot reach PostgreSQL"
REGISTERED = "SELECT count(*) FROM procrastinate_workers"
# Seconds that a worker may take to stop: what it grants its jobs, and a little more.
UNTIL_STOPPED = 35.0


class Stage:
    """Workers that are up, and a producer as soon as `create_users` was called.

    With `by_proxy` workers reach PostgreSQL through a proxy, and with `gates` jobs can be stopped.
    """

    def __init__(
        self,
        server: PostgresServer,
        side: Side,
        database: str,
        *,
        folder: Path,
        chance: random.Random,
        by_proxy: bool = False,
        gates: bool = False,
    ) -> None:
        self.server = server
        self.side = side
        self.database = database
        self.chance = chance
        self.workers: list[Process] = []
        #: How many workers ended that nobody had killed or asked to stop.
        self.deserters = 0
        #: What happened, and when.
        self.story: list[str] = []
        #: Users a second.
        self.rate = 0.0
        self._began = time.monotonic()
        self._folder = folder
        self._with_proxy = by_proxy
        self._gates = gates
        self._proxy: Proxy | None = None
        self._producer: Process | None = None
        self._rate_file = folder / f"{database}.rate"
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.server.create_database(self.database, template=template_of(self.side))
            stack.callback(self.server.drop_database, self.database)
            if self._gates:
                self.rows(query_of("gates"))
            if self._with_proxy:
                self._proxy = stack.enter_context(
                    Proxy(self.server.port, keepalives=KEEPALIVES[self.side])
                )
            stack.callback(self._kill_all)
            self.workers = [self.start_worker(place) for place in range(WORKERS)]
            wait_for(lambda: self._all_are_up() or not self.has_workers())
            assert self.has_workers(), self.workers[0].log
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def proxy(self) -> Proxy:
        """The proxy, where there is one."""
        assert self._proxy is not None
        return self._proxy

    def rows(self, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Do something in the database as the superuser, as soon as that is possible."""
        return self.server.rows(self.database, query, *parameters)

    def say(self, what: str) -> None:
        """Note what happens now."""
        self.story.append(f"{time.monotonic() - self._began:6.1f} s  {what}")

    def run(
        self, name: str, *command: str, port: int | None = None, log_level: str = "INFO"
    ) -> Process:
        """Run a program of this checkout, whose sessions have this name, at most until the end."""
        log = self._folder / f"{self.database}-{len(self._processes)}-{name}.log"
        process = Process(
            *command,
            url=self.server.url(self.database, port=port, name=name),
            log=log,
            DJANGO_SETTINGS_MODULE=f"tests.chaos.{self.side}_settings",
            LOG_LEVEL=log_level,
        )
        self._processes.append(process)
        return process

    def start_worker(self, place: int) -> Process:
        port = self._proxy.port if self._proxy else None
        return self.run(f"worker-{place}", *COMMANDS[self.side], port=port)

    def kill_worker(self, place: int) -> None:
        """Kill a worker from one moment to the next, and start another one in its place."""
        self._restart_those_without_database()
        victim = self.workers[place]
        self.deserters += victim.has_ended
        victim.process.kill()
        victim.process.wait()
        self.workers[place] = self.start_worker(place)

    def create_users(self, rate: float, *, slow: bool = False) -> None:
        """Have so many users a second created from now on."""
        self.rate = rate
        new = self._rate_file.with_suffix(".new")
        new.write_text(str(rate))
        new.replace(self._rate_file)
        if self._producer is None:
            command = ["-m", "tests.chaos.producer", str(self._rate_file)]
            if slow:
                command.append("slow")
            self._producer = self.run("producer", *command, log_level="WARNING")

    def create_no_more_users(self) -> None:
        """Wait until the producer has ended, as it should."""
        assert self._producer is not None
        self._rate_file.unlink()
        assert self._producer.process.wait(timeout=90) == 0, self._producer.log

    def has_workers(self) -> bool:
        """Return whether there are some, when their service manager has seen to them."""
        self._restart_those_without_database()
        return not all(worker.has_ended for worker in self.workers)

    def wait_until_all_have_started(self) -> None:
        """Wait for those, too, that have just taken the place of others."""

        def all_have() -> bool:
            self._restart_those_without_database()
            return all("Starting worker" in each.log or each.has_ended for each in self.workers)

        wait_for(all_have)

    def stop(self, *workers: Process) -> list[int]:
        """Ask workers to stop; return the exit statuses of those that were there."""
        there = [worker for worker in workers if not worker.has_ended]
        self.deserters += len(workers) - len(there)
        for each in there:
            each.process.send_signal(signal.SIGTERM)
        with suppress(AssertionError):
            wait_for(lambda: all(each.has_ended for each in there), seconds=UNTIL_STOPPED)
        for each in there:
            each.process.kill()
        return [each.process.wait() for each in there]

    def _restart_those_without_database(self) -> None:
        """Start those again that found no database at their start, as service managers do."""
        for place, worker in enumerate(self.workers):
            if worker.has_ended and worker.log.startswith(NO_DATABASE):
                self.say(f"worker {place} found no database, and is started again")
                self.workers[place] = self.start_worker(place)

    def _all_are_up(self) -> bool:
        return self.rows(REGISTERED) == [(WORKERS,)]

    def _kill_all(self) -> None:
        # SIGKILL also ends those that are frozen.
        for each in self._processes:
            each.process.kill()
            each.process.wait()


def prepare(server: PostgresServer, side: Side, folder: Path) -> None:
    """Make the database from which those of the stages of a side are copied."""
    name = template_of(side)
    server.create_database(name)
    migration = Process(
        *("-m", "joblogs.benchmark.actions", "migrate", side),
        url=server.url(name),
        log=folder / f"{name}.log",
        DJANGO_SETTINGS_MODULE=f"tests.chaos.{side}_settings",
    )
    try:
        assert migration.process.wait(timeout=240) == 0, migration.log
    finally:
        migration.process.kill()
    server.rows(name, query_of("effects"))


def template_of(side: Side) -> str:
    return f"template_{side}"
