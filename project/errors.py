"""What people see when the database, or our own code, lets them down."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import psycopg
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.template.loader import render_to_string
from procrastinate.exceptions import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds
OUTAGES = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


class DatabaseOutageMiddleware:
    """Answer 503 when a view cannot reach the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return _unavailable(request, error) if _is_outage(error) else None


def server_error(request: HttpRequest) -> HttpResponse:
    """Render the page for errors that nothing else handled; `handler500`.

    Reached with an outage when a middleware, such as the one that saves sessions, met it.
    """
    error = sys.exception()
    if _is_outage(error):
        return _unavailable(request, error)
    return HttpResponse(render_to_string("500.html"), status=500)


def _is_outage(error: BaseException | None) -> bool:
    # Procrastinate's errors have psycopg's behind them.
    while error and not isinstance(error, OUTAGES):
        error = error.__cause__
    return error is not None


def _unavailable(request: HttpRequest, error: BaseException | None) -> HttpResponse:
    reason = error.__cause__ if isinstance(error, ConnectorException) else error
    logger.error("%s %s answered 503: %s", request.method, request.path, reason)
    # Rendered without the request, whose user would be looked up in the database.
    return HttpResponse(
        render_to_string("503.html"), status=503, headers={"Retry-After": str(RETRY_AFTER)}
    )
