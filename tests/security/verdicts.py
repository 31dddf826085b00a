"""What is never right, whatever was asked."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.security.bad_values import MARK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.security.visitors import Answer

_RUN_WHAT_THEY_SAY = ("javascript:", "data:", "vbscript:")
_LEAD_SOMEWHERE = ("href", "src", "action", "formaction", "xlink:href")
_DETAILS = ("Traceback (most recent call last)", "django.db.utils.", "DEBUG = True", "psycopg.")


class _Reflections(HTMLParser):
    """Looks for what was sent, where it has become more than text."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.within = ""
        self.feed(body)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within = tag
        for name, value in attrs:
            text = (value or "").strip().lower()
            runs = name.startswith("on") or name in ("style", "srcdoc")
            leads = name in _LEAD_SOMEWHERE and text.startswith(_RUN_WHAT_THEY_SAY)
            if MARK in name or (MARK in text and (runs or leads)):
                self.found.append(f"<{tag} {name}={value!r}>"[:200])

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within in ("script", "style") and MARK in data:
            self.found.append(f"<{self.within}>{data[:100]}")


def faults(answer: Answer) -> Iterator[str]:
    """Return what is wrong with an answer."""
    if answer.status >= 500:
        yield "breaks"
    if any(detail in answer.body for detail in _DETAILS):
        yield "tells of its inside"
    if MARK in answer.body and answer.headers["Content-Type"].startswith("text/html"):
        yield from (f"reflects {found}" for found in _Reflections(answer.body).found)
    if any(MARK in value and "<" in value for _, value in answer.headers.items()):
        yield "reflects in a header"
    if _leads_away(answer.location):
        yield "leads to another site"
    if answer.half_written:
        yield "is half-written"
    if answer.changed and not _may_have_saved(answer):
        yield "saves all the same"


def _leads_away(location: str) -> bool:
    # Browsers take a backslash for a slash, and leave out what they cannot show.
    place = urlsplit(location.replace("\\", "/"))
    return bool(place.netloc or place.scheme) or any(ord(letter) < 32 for letter in location)


def _may_have_saved(answer: Answer) -> bool:
    if not answer.request.startswith("POST "):
        return False
    # The admin's small windows say with a page of their own what was saved; failed logins count.
    counted = answer.changed == ["axes_accessattempt"] and answer.request.startswith("POST /login/")
    return answer.status == 302 or "data-popup-response" in answer.body or counted


def assert_none(complaints: Iterable[str]) -> None:
    found = list(complaints)
    assert not found, "\n".join(["", *found[:30], f"{len(found)} in all"])
