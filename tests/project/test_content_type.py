"""A Content-Type that Django would choke on does not reach it."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from project.content_type import PlainContentType


def passed_on(*types: bytes, kind: str = "http") -> list[tuple[bytes, bytes]]:
    """Return the headers that the application behind it gets."""
    scopes: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any]) -> None:
        scopes.append(scope)

    headers = [(b"host", b"localhost"), *((b"content-type", value) for value in types)]
    async_to_sync(PlainContentType(application))({"type": kind, "headers": headers})
    passed: list[tuple[bytes, bytes]] = scopes[0]["headers"]
    return passed


@pytest.mark.parametrize(
    "plain",
    [
        b"application/x-www-form-urlencoded; charset=UTF-8",
        b"multipart/form-data; boundary=----WebKitFormBoundaryE19zNvXGzXaLvS5C",
        b"text/plain",
    ],
)
def test_what_forms_of_browsers_say_is_left(plain: bytes) -> None:
    assert passed_on(plain) == [(b"host", b"localhost"), (b"content-type", plain)]


@pytest.mark.parametrize(
    "types",
    [
        [b"text/plain; x*=foo''%41"],
        [b'text/plain; x="' + b";" * 60_000],
        [b"text/plain", b"text/plain"],
    ],
)
def test_what_none_says_is_taken_away(types: list[bytes]) -> None:
    assert passed_on(*types) == [(b"host", b"localhost")]


def test_other_connections_pass() -> None:
    assert passed_on(b"a*", kind="lifespan")[1] == (b"content-type", b"a*")
