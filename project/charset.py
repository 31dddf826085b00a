"""Forms come in UTF-8, as all pages are."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from django.core.exceptions import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class CharsetMiddleware:
    """Answer 400 to a body said to be in another character set.

    Django takes whatever Python has a codec for, also those that are not about text, and fails.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.encoding and codecs.lookup(request.encoding).name != "utf-8":
            raise BadRequest(f"The character set {request.encoding} is not UTF-8.")
        return self.get_response(request)
