"""People who ask the site for something, and leave it as they found it."""

from __future__ import annotations

import sys
import traceback
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote

from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import got_request_exception
from django.test import Client

from tests.security.database import Contents, undone, writes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpResponse

    from accounts.models import User

FORM = "application/x-www-form-urlencoded"


class Answer(NamedTuple):
    request: str  # its first line, for messages
    status: int
    headers: Mapping[str, str]
    body: str
    error: str  # where the site failed, if it did
    changed: list[str]  # the tables that were written to
    half_written: list[str]

    def __str__(self) -> str:
        parts = [f"{self.request} → {self.status}", self.location]
        parts += [f"with changes to {', '.join(self.changed)}"] if self.changed else []
        return " ".join(filter(None, [*parts, *self.half_written, self.error]))

    @property
    def location(self) -> str:
        return self.headers.get("Location", "")


class _Handler(ASGIHandler):
    """Handles requests as they come from the web server, but in this thread and transaction.

    Django's test client would make requests of another class, and would not send them as they are.
    """

    def __init__(self) -> None:
        self.load_middleware()


class Visitor:
    """Somebody with a browser. Whatever a request changes is undone when it is answered."""

    def __init__(self, user: User | None = None, *, enforce_csrf_checks: bool = False) -> None:
        self.user: User | AnonymousUser = user or AnonymousUser()
        self.enforce_csrf_checks = enforce_csrf_checks
        client = Client()
        if user:
            client.force_login(user)
        self.cookie = client.cookies.output(attrs=[], header="", sep=";").strip()
        self.handler = _Handler()

    def __str__(self) -> str:
        return self.user.get_username() or "a stranger"

    def get(self, url: str) -> Answer:
        return self.ask("GET", url)

    def post(self, url: str, form: bytes) -> Answer:
        return self.ask("POST", url, form, {"content-type": FORM})

    def ask(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """Send a request, and look at what it does to the database."""
        path, _, query = url.partition("?")
        sent = {"host": "localhost", "cookie": self.cookie}
        sent |= {"content-length": str(len(body))} if body else {}
        sent |= headers
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("localhost", 80),
        }
        errors: list[str] = []

        def remember(**_: object) -> None:
            if error := sys.exception():
                errors.append(_what_went_wrong(error))

        got_request_exception.connect(remember)
        try:
            with undone():
                count = writes()
                response = self._answer(scope, BytesIO(body))
                # When the site has failed, its transaction perhaps has as well.
                wrote = response.status_code < 500 and writes() > count
                after = Contents.now() if wrote else None
            before = Contents.now() if wrote else None
        finally:
            got_request_exception.disconnect(remember)
        return Answer(
            request=f"{method} {url}"[:200],
            status=response.status_code,
            headers=response.headers,
            body=response.getvalue().decode("utf-8", "replace"),
            error=", ".join(errors),
            changed=before.changes_to(after) if before and after else [],
            half_written=before.halves_in(after) if before and after else [],
        )

    def _answer(self, scope: dict[str, Any], body: BytesIO) -> HttpResponse:
        request, refusal = self.handler.create_request(scope, body)
        if request is None:
            return cast("HttpResponse", refusal)
        request._dont_enforce_csrf_checks = not self.enforce_csrf_checks  # type: ignore[attr-defined]
        response = self.handler.get_response(request)
        request.close()  # and its uploaded files
        return cast("HttpResponse", response)


def _what_went_wrong(error: BaseException) -> str:
    """Return it in a line, with the innermost functions but those of the database."""
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not {"db", "psycopg"}.intersection(Path(frame.filename).parts)
    ]
    return f"{error!r} in {', in '.join(reversed(frames[-3:]))}"
