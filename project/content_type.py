"""Content types are looked at before Django does, which could not refuse them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LONGEST = 300  # characters; a form's has fewer than a hundred


class PlainContentType:
    """Take away a Content-Type that no form of a browser has.

    Django parses it while it makes the request, on the event loop and before any middleware: some
    parameters (RFC 2231, with a "*") end there in an error without a page, and tens of thousands of
    them hold up everybody for seconds. Without it a body is just not read as a form.
    """

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], *channels: Callable[..., Any]) -> None:
        if scope["type"] == "http":
            types = [value for name, value in scope["headers"] if name == b"content-type"]
            if len(types) > 1 or any(len(value) > LONGEST or b"*" in value for value in types):
                others = [header for header in scope["headers"] if header[0] != b"content-type"]
                scope = {**scope, "headers": others}
        await self.application(scope, *channels)
