"""Something between workers and PostgreSQL that can fall silent, as a firewall may."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Proxy:
    """Forwards TCP connections to a port of this machine.

    The connections that it has are half-open after `fall_silent`: nothing passes any more, either
    way, and neither end is told. The clients' ends stay so for as long as the proxy lives, and
    those of the server for `keepalives` seconds: where packets vanish, it asks its clients for a
    sign of life, and here the proxy's own kernel would give it. None is for good, too.
    """

    def __init__(self, upstream: int, *, keepalives: float | None) -> None:
        self._upstream = upstream
        self._keepalives = keepalives
        self._links: list[_Link] = []
        self._guard = threading.Lock()
        self._accepts_in_silence = False

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="proxy")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for link in self._links:
            link.close()

    def fall_silent(self, *, new_ones_too: bool) -> None:
        """Forward nothing for the connections there are; nor for new ones, until `recover`."""
        with self._guard:
            self._accepts_in_silence = new_ones_too
            for link in self._links:
                link.silence()

    def recover(self) -> None:
        """Forward for new connections again. Old ones stay silent."""
        with self._guard:
            self._accepts_in_silence = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._guard:
                    self._links = [link for link in self._links if not link.is_over]
                    self._links.append(_Link(client, self._upstream, self._keepalives))
                    if self._accepts_in_silence:
                        self._links[-1].silence()
                    else:
                        self._links[-1].start()


class _Link:
    """One connection."""

    def __init__(self, client: socket.socket, upstream: int, keepalives: float | None) -> None:
        self._client = client
        self._upstream = upstream
        self._keepalives = keepalives
        self._server = socket.socket()
        # What ends the waiting of the thread.
        self._bell, self._rope = socket.socketpair()
        self._sockets = (self._client, self._server, self._bell, self._rope)
        self._is_silent = False
        self._closes = threading.Event()
        self._thread = threading.Thread(target=self._forward, name="proxy's connection")

    @property
    def is_over(self) -> bool:
        """Tell whether one of the ends has closed it, and the other one knows."""
        return self._client.fileno() == -1

    def start(self) -> None:
        self._thread.start()

    def silence(self) -> None:
        self._is_silent = True
        with suppress(OSError):  # it was over
            self._rope.send(b"!")

    def close(self) -> None:
        self.silence()
        self._closes.set()
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join()
        for each in self._sockets:
            each.close()

    def _forward(self) -> None:
        with suppress(OSError):
            self._server.connect(("127.0.0.1", self._upstream))
            for end in (self._client, self._server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._pass_on():
                pass
        if self._is_silent:
            self._closes.wait(self._keepalives)
            self._server.close()
        else:
            for each in self._sockets:
                each.close()

    def _pass_on(self) -> bool:
        """Pass on what either end says; tell whether there may be more."""
        readable, _, _ = select.select([self._bell, self._client, self._server], [], [])
        if self._is_silent:
            # Both stay open, so that nobody is told.
            return False
        for end, other in ((self._client, self._server), (self._server, self._client)):
            if end in readable:
                data = end.recv(65_536)
                if not data:
                    return False
                other.sendall(data)
        return True
