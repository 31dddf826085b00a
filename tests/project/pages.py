"""All pages of the site, and what is the same each time one is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.urls import URLPattern, URLResolver, get_resolver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.test.client import _MonkeyPatchedWSGIResponse as Response

TOKEN = re.compile(r'(name="csrfmiddlewaretoken" value=)"\w+"')


def named_pages(
    resolver: URLResolver | None = None, *namespaces: str
) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yield the names of all pages, the admin's included, and what their addresses take."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            namespace = [pattern.namespace] if pattern.namespace else []
            yield from named_pages(pattern, *namespaces, *namespace)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield ":".join([*namespaces, pattern.name]), pattern.pattern.regex.groupindex


def without_token(response: Response) -> str:
    return TOKEN.sub(r"\1", response.content.decode())
