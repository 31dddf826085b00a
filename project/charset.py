"""Forms come in UTF-8, as all pages are."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from django.http import HttpResponseBadRequest
from django.template.loader import render_to_string

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class CharsetMiddleware:
    """Answer 400 to a body said to be in another character set.

    Of a form with files Django takes any that Python has a codec for, and fails at those that are
    not about text.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.encoding and codecs.lookup(request.encoding).name != "utf-8":
            # Not an exception: Django's debug page would read the body to show it.
            return HttpResponseBadRequest(render_to_string("400.html"))
        return self.get_response(request)
