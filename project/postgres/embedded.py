"""A PostgreSQL of this checkout's own, in `.postgres/`, shared by all its processes.

What is true is never read from a process id, which may be stale or somebody else's by now:

- The server inherits a lock on `server.lock`. The kernel keeps that lock exactly as long as the
  server or any process of it lives, however the server ends. Free: there is no server, and
  a postmaster.pid that is still there means nothing. Taken: there is one, perhaps still starting.
- It runs when it answers.
- Only the holder of `start.lock` starts or stops it.
- Every process that uses it holds a shared lock on `users.lock`.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from django.core.exceptions import ImproperlyConfigured

from project.postgres import locks, runtime, talk
from project.postgres.account import account_for
from project.postgres.cluster import Cluster
from project.postgres.errors import DatabaseUnreachable
from project.postgres.log import ServerLog

if TYPE_CHECKING:
    from collections.abc import Callable

DATABASE = "joblogs"
# A server makes its socket at once; one that has none lost it, say to a clean-up of /tmp.
_SOCKET_GRACE = 3.0


# libpq's variables that lead to no other server.
_HARMLESS_VARIABLES = {"PGAPPNAME", "PGOPTIONS", "PGTZ"}

P = ParamSpec("P")
T = TypeVar("T")


@functools.cache
def server_in(folder: Path) -> EmbeddedPostgres:
    """Return this process's one EmbeddedPostgres for the folder.

    From here on this process and those it starts connect to no other server: what the environment
    tells libpq of one (PGHOSTADDR, PGSERVICE, ...) is for commands with DATABASE_URL.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        if name not in _HARMLESS_VARIABLES:
            del os.environ[name]
    return EmbeddedPostgres(folder)


def _explained(
    method: Callable[Concatenate[EmbeddedPostgres, P], T],
) -> Callable[Concatenate[EmbeddedPostgres, P], T]:
    """Tell in one line of files that cannot be used."""

    @functools.wraps(method)
    def explain(server: EmbeddedPostgres, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(server, *args, **kwargs)
        except OSError as error:
            raise ImproperlyConfigured(
                f"The embedded database cannot use {error.filename or server.folder}: "
                f"{error.strerror}. Use a checkout of your own, or set DATABASE_URL."
            ) from error

    return explain


class EmbeddedPostgres:
    """The server whose files are in `folder`; nothing happens before ensure_running().

    `started_here` says whether it was this object that started the server.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.started_here = False
        self._log = ServerLog(folder / "postgres.log")
        self._server_lock = folder / "server.lock"
        self._start_lock = folder / "start.lock"
        self._users_lock = folder / "users.lock"
        self._record = folder / "runtime"
        self._pid_file = self.data / "postmaster.pid"
        self._use: int | None = None
        self._use_guard = threading.Lock()
        self._has_answered = False

    @_explained
    def ensure_running(self, *, suspect: bool = False) -> Path:
        """Start the server unless it runs, and return the folder of its socket, libpq's host.

        Once it has answered, later calls only look at its lock. With `suspect` they ask it again,
        and see to it that the database exists.
        """
        self._prepare_folder()
        self._register_use()
        if not suspect and (host := self._live_host(ask=not self._has_answered)):
            self._has_answered = True
            return host
        with locks.locked(self._start_lock):
            host = self._start_or_wait()
        self._has_answered = True
        return host

    @_explained
    def running_host(self) -> Path | None:
        """Return the folder of the socket if the server runs, without starting anything."""
        return self._live_host(ask=True)

    @_explained
    def stop(self) -> None:
        """Stop the server, whoever uses it; their open transactions are rolled back."""
        if self.folder.is_dir():
            with locks.locked(self._start_lock):
                self._stop()

    @_explained
    def stop_if_unused(self) -> bool:
        """Stop the server unless another process uses it; say whether it is stopped now."""
        if not self.folder.is_dir():
            return True
        with locks.locked(self._start_lock):
            self._end_use()
            users = locks.open_private(self._users_lock)
            # Whoever comes now waits until the server is down, and then starts it again.
            try:
                if not locks.try_lock(users):
                    return False
                self._stop()
            finally:
                locks.unlock(users)
        return True

    def _prepare_folder(self) -> None:
        account = account_for(self.folder)
        if self.folder.is_dir():
            return
        try:
            self.folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        if account.switch:
            # The checkout's owner may want to use it too.
            owner = self.folder.parent.stat()
            os.chown(self.folder, owner.st_uid, owner.st_gid)

    def _register_use(self) -> None:
        with self._use_guard:
            if self._use is None:
                self._use = locks.wait_for_lock(self._users_lock, shared=True)

    def _end_use(self) -> None:
        with self._use_guard:
            if self._use is not None:
                locks.unlock(self._use)
                self._use = None

    def _live_host(self, *, ask: bool) -> Path | None:
        host = self._recorded_host()
        if host is None or not runtime.socket_of(host).exists():
            return None
        if not locks.is_locked(self._server_lock):
            return None
        return host if not ask or talk.answers(host) else None

    def _recorded_host(self) -> Path | None:
        return runtime.recorded(self._record, account_for(self.folder).uid)

    # From here on start.lock is held.

    def _start_or_wait(self) -> Path:
        started = False
        for passed in locks.attempts():
            if host := self._live_host(ask=True):
                talk.create_database(host, DATABASE)
                return host
            lock = locks.open_private(self._server_lock)
            try:
                if not locks.try_lock(lock):
                    if passed > _SOCKET_GRACE and not started:
                        self._end_a_server_without_socket()
                elif started:
                    raise self._failure("it stopped at once")
                else:
                    # First, so that it is known also when Ctrl-C comes in between.
                    started = self.started_here = True
                    self._start(lock)
            finally:
                # The server has inherited it, and with it the lock.
                os.close(lock)
        raise self._failure(f"it did not answer within {locks.PATIENCE:.0f} s")

    def _start(self, lock: int) -> None:
        self._refuse_feigned_locks()
        account = account_for(self.folder)
        host = self._recorded_host()
        if host is None or talk.answers(host):
            # One that answers there is the server of a checkout that this one is a copy of.
            host = runtime.make(self._record, account)
        runtime.clear(host)
        installation = runtime.usable_installation(host, account)
        with self._log.appending() as log:
            cluster = Cluster(self.data, installation, account, lock, log)
            if not self.data.is_dir():
                try:
                    cluster.create()
                except DatabaseUnreachable as error:
                    raise self._failure(str(error)) from None
            cluster.start(host)

    def _refuse_feigned_locks(self) -> None:
        # Network file systems turn flock into locks that a child process does not inherit.
        second = locks.open_private(self._server_lock)
        try:
            if locks.try_lock(second):
                raise ImproperlyConfigured(
                    f"The file system of {self.folder} cannot lock files as the embedded database "
                    "needs it: move the checkout to a local disk, or set DATABASE_URL."
                )
        finally:
            os.close(second)

    def _stop(self) -> None:
        asked = False
        for _ in locks.attempts():
            if not locks.is_locked(self._server_lock):
                self.started_here = self._has_answered = False
                return
            asked = asked or self._ask_to_stop()
        raise self._failure(f"it did not stop within {locks.PATIENCE:.0f} s")

    def _ask_to_stop(self) -> bool:
        host = self._recorded_host()
        pid = (talk.postmaster_pid(host) if host else None) or self._pid_by_working_directory()
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        return True

    def _pid_by_working_directory(self) -> int | None:
        """Return the process id of a server that cannot be asked, where the kernel vouches for it.

        Linux tells in which folder a process works.
        """
        try:
            pid = int(self._pid_file.read_text().split("\n")[0])
            return pid if Path(f"/proc/{pid}/cwd").samefile(self.data) else None
        except (OSError, ValueError):
            return None

    def _end_a_server_without_socket(self) -> None:
        host = self._recorded_host()
        if host and runtime.socket_of(host).exists():
            return
        if not self._ask_to_stop():
            # It looks at this file every minute, and stops when the file is gone: safe whichever
            # process the number in it belongs to.
            self._pid_file.unlink(missing_ok=True)

    def _failure(self, reason: str) -> DatabaseUnreachable:
        complaint = self._log.last_complaint()
        return DatabaseUnreachable(
            f"The embedded PostgreSQL in {self.folder} does not run: {reason}"
            + (f" ({complaint})" if complaint else "")
        )
