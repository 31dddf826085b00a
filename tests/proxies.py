"""What may stand between this process and the tests' PostgreSQL, and what it may do there."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connection

from project.postgres.base import DatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest


class Proxy:
    """Passes on what both sides send. Each kind of it does something else at times."""

    def __init__(self) -> None:
        parameters = connection.get_connection_params()
        self._upstream = str(parameters.get("host", "localhost")), int(parameters.get("port", 5432))
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self._listener.getsockname()[1]
        self._is_closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def accepted(self) -> int:
        """How many connections there have been."""
        return len(self._clients)

    def close(self) -> None:
        self._is_closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        # Those too for which somebody waits who is never freed: a test that fails is to end.
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=function, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), self._connect() as server:
            self._forward(client, server)

    def _connect(self) -> socket.socket:
        host, port = self._upstream
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what they send, until one of them ends the connection or this kind does."""
        others = {client: server, server: client}
        while True:
            readable, _, _ = select.select(list(others), [], [])
            for end in readable:
                data = end.recv(65_536)
                if not data or self._ends_at(data, end, client, server):
                    return
                others[end].sendall(data)

    def _ends_at(
        self, data: bytes, sender: socket.socket, client: socket.socket, server: socket.socket
    ) -> bool:
        """Return whether a connection is to end before this is passed on."""
        return False


class CuttingProxy(Proxy):
    """Cuts a connection at a word.

    What holds the word reaches PostgreSQL when it is to be delivered; then its answer is lost.
    """

    cuts = 0

    def cut(self, word: bytes, *, deliver: bool) -> None:
        """Cut the connection on which this word is sent next."""
        self._word, self._deliver, self.cuts = word, deliver, 1

    def _ends_at(
        self, data: bytes, sender: socket.socket, client: socket.socket, server: socket.socket
    ) -> bool:
        if not self.cuts or sender is server or self._word not in data:
            return False
        self.cuts -= 1
        if self._deliver:
            server.sendall(data)
            while (answer := server.recv(65_536)) and not answer.endswith(b"I"):
                pass  # until it is idle again
        return True


class FreezingProxy(Proxy):
    """Freezes connections: nothing arrives any more, and nobody is told."""

    #: Connections freeze when they are asked this.
    unanswered: bytes | None = None
    _frozen: frozenset[socket.socket] = frozenset()

    def freeze(self) -> None:
        """Freeze the connections that there are; new ones are well."""
        self._frozen = frozenset(self._clients)

    def _ends_at(
        self, data: bytes, sender: socket.socket, client: socket.socket, server: socket.socket
    ) -> bool:
        if client not in self._frozen and not (self.unanswered and self.unanswered in data):
            return False
        return self._is_closing.wait()


class SilentProxy(Proxy):
    """Falls silent on a connection at a word, which it delivers; neither end is told.

    With a delay it does so for that many seconds only.
    """

    times = 0
    delay: float | None = None

    def swallow(self, word: bytes, *, times: int = 1) -> None:
        """Swallow the answer to this word, and all that follow on that connection."""
        self._word, self.times = word, times

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        ends, is_silent = [client, server], False
        while True:
            readable, _, _ = select.select(ends, [], [])
            if client in readable:
                if not (data := client.recv(65_536)):
                    return
                if self.times and self._word in data:
                    self.times -= 1
                    is_silent = True
                server.sendall(data)
            if server in readable:
                data = server.recv(65_536)
                if is_silent and self.delay:
                    is_silent = False
                    time.sleep(self.delay)  # on the way
                if not is_silent:
                    client.sendall(data)
                if not data:
                    if not is_silent:
                        return
                    ends = [client]


AnyProxy = TypeVar("AnyProxy", bound=Proxy)


@contextmanager
def led_through(
    kind: type[AnyProxy], monkeypatch: pytest.MonkeyPatch, *, host: str = "127.0.0.1"
) -> Iterator[AnyProxy]:
    """Lead all connections that are opened from now on through a proxy of this kind.

    `host` is a name of this machine, by which it is looked for.
    """
    proxy = kind()
    direct = DatabaseWrapper.get_connection_params

    def through_the_proxy(wrapper: DatabaseWrapper) -> dict[str, Any]:
        return direct(wrapper) | {"host": host, "port": proxy.port}

    with monkeypatch.context() as patch:
        patch.setattr(DatabaseWrapper, "get_connection_params", through_the_proxy)
        yield proxy
    connection.close()
    proxy.close()
