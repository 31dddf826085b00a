"""/healthz, where load balancers learn whether this web process and its database answer.

It is answered before Django: probes come by the address of a container, by plain HTTP, and without
cookies, which Django would refuse, redirect or look up.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, Error, connections
from psycopg import AsyncConnection

from joblogs.engine.sessions import answers_within
from project.postgres.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

PATH = "/healthz"
METHODS = ("GET", "HEAD")
# Seconds for each step on the way to an answer, of which there are three at most: a question on the
# connection that there is, another connection, and a question on that one.
LONGEST = 1.0
# What Django makes of the parameters of a connection that psycopg alone does not want.
_OF_DJANGO = ("context", "cursor_factory", "prepare_threshold")


class Healthz:
    """Answers 200 `ok` or 503 `unavailable` at /healthz, and hands on all else.

    However many ask at a time, the database is asked once, on a connection of its own: those of the
    pool are for visitors, who may use all of them while all is well.
    """

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application
        self._connection: AsyncConnection | None = None
        self._attempt: asyncio.Task[bool] | None = None
        self._was_well = True

    async def __call__(self, scope: dict[str, Any], *channels: Callable[..., Any]) -> None:
        if scope["type"] != "http" or scope["path"] != scope.get("root_path", "") + PATH:
            await self.application(scope, *channels)
            return
        _, send = channels
        if scope["method"] not in METHODS:
            await _answer(send, 405, b"refused", (b"allow", ", ".join(METHODS).encode()))
            return
        status, word = (200, b"ok") if await self._is_well() else (503, b"unavailable")
        await _answer(send, status, word, with_body=scope["method"] != "HEAD")

    async def _is_well(self) -> bool:
        attempt = self._attempt
        if attempt is None or attempt.done():
            attempt = self._attempt = asyncio.create_task(self._ask())
        # Others may be waiting for it, too.
        return await asyncio.shield(attempt)

    async def _ask(self) -> bool:
        """Tell whether the database answers, and log it when that has changed."""
        params: dict[str, Any] = {}
        try:
            # In a thread, as the embedded server may have to start first.
            params = await asyncio.to_thread(_connection_parameters)
            await self._select(params)
        except (psycopg.Error, Error, OSError) as error:
            if self._was_well:
                known = isinstance(error, DatabaseUnreachable)
                reason = error if known else DatabaseUnreachable.at(params, error)
                logger.warning("%s answers 503: %s", PATH, reason)
            self._was_well = False
            return False
        if not self._was_well:
            logger.info("%s answers 200 again", PATH)
        self._was_well = True
        return True

    async def _select(self, params: dict[str, Any]) -> None:
        if self._connection:
            # It may be of a server that has started again since.
            with suppress(psycopg.Error):
                await _select_on(self._connection)
                return
            await self._connection.close()
            self._connection = None
        async with asyncio.timeout(LONGEST):
            self._connection = await AsyncConnection.connect(**params, autocommit=True)
        # A pooler in between lets in also when the database is away.
        await _select_on(self._connection)


async def _select_on(connection: AsyncConnection) -> None:
    with answers_within(LONGEST, connection):
        await connection.execute("SELECT 1")


def _connection_parameters() -> dict[str, Any]:
    params = connections[DEFAULT_DB_ALIAS].get_connection_params()
    return {name: value for name, value in params.items() if name not in _OF_DJANGO}


async def _answer(
    send: Callable[..., Any],
    status: int,
    word: bytes,
    *headers: tuple[bytes, bytes],
    with_body: bool = True,
) -> None:
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(word)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": word if with_body else b""})
