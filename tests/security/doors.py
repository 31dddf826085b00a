"""The site's addresses with what is known about them, ready to be tried by somebody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from django.urls import Resolver404, resolve
from django.utils.html import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.security.addresses import Address
    from tests.security.entrances import Entrance
    from tests.security.visitors import Answer, Visitor

# What is different each time the same page is shown.
_CHANGING = re.compile(r'(name="csrfmiddlewaretoken" value|nonce)="[^"]*"')


class Door(NamedTuple):
    address: Address
    entrance: Entrance
    url: str

    def try_as(self, visitor: Visitor, method: str, **headers: str) -> Answer:
        query = self.entrance.query if method == "GET" else ""
        return visitor.ask(method, self.url + query, headers=headers)

    def is_open_to(self, visitor: Visitor, method: str) -> bool:
        return self.entrance.need(method).is_met_by(visitor.user)

    def turns_away(self, answer: Answer) -> bool:
        if answer.status == 302:
            return _asks_to_log_in(answer.location, self.url)
        return answer.status in (403, self.entrance.refused)

    def told(self, answer: Answer) -> tuple[int, str, str]:
        """Return what an answer says, apart from the address that was asked for."""
        texts = [answer.location, _CHANGING.sub("", answer.body)]
        for echo in (self.url, quote(self.url), quote(self.url, safe=""), escape(self.url)):
            texts = [text.replace(echo, "…") for text in texts]
        return answer.status, texts[0], texts[1]

    def complaint(self, visitor: Visitor, method: str) -> str | None:
        """Try it, and return what is wrong with the answer."""
        answer = self.try_as(visitor, method)
        if self.is_open_to(visitor, method):
            if self.turns_away(answer):
                return f"{visitor} is refused: {answer}"
            if answer.status >= 500 or (
                method == "GET" and answer.status not in self.entrance.opens
            ):
                return f"{visitor} gets in, but is not answered as expected: {answer}"
        elif answer.changed or not self.turns_away(answer):
            return f"{visitor} gets in: {answer}"
        elif not visitor.user.is_authenticated and answer.status != 302:
            return f"{visitor} is not led to the login page: {answer}"
        return None


def complaints(doors: Iterable[Door], visitors: Iterable[Visitor]) -> Iterator[str]:
    """Let everybody try every door by GET and POST; return all that is wrong."""
    for visitor in visitors:
        for door in doors:
            for method in ("GET", "POST"):
                if complaint := door.complaint(visitor, method):
                    yield complaint


def _asks_to_log_in(location: str, url: str) -> bool:
    place = urlsplit(location)
    try:
        leads_there = resolve(place.path).url_name == "login"
    except Resolver404:
        return False
    return leads_there and place.query.startswith(f"next={quote(url)}")
