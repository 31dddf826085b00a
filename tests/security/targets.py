"""Everything that the site takes from people: forms and queries, found by looking at its pages."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, quote_plus

from tests.security.addresses import all_addresses
from tests.security.entrances import ENTRANCES
from tests.security.pages import Form, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from django.db.models import Model

    from tests.security.addresses import Address
    from tests.security.visitors import Answer, Visitor

# What a page looks for in its query though it may show no link with it: some of Django's admin,
# and what leads to other pages of a list.
OF_A_LIST = ("q", "o", "p", "all", "e", "_popup", "_to_field", "_changelist_filters", "_facets")
OF_A_FORM = ("_popup", "_to_field", "_changelist_filters")
OF_AUTOCOMPLETION = ("term", "page")
OF_OURS = {"login": ("next",), "user-list": ("page",), "log-list": ("older", "newer")}


class Target(NamedTuple):
    """Something that takes input, and who may give it."""

    visitor: Visitor
    method: str
    url: str
    fields: dict[str, list[str]]

    def __repr__(self) -> str:
        return f"{self.visitor}: {self.method} {self.url} with {', '.join(self.fields)}"

    def send(self, values: Mapping[str, str | bytes | Sequence[str | bytes]]) -> Answer:
        """Send what a browser would, with these values instead."""
        sent = encoded(self.fields | dict(values))
        if self.method == "GET":
            return self.visitor.ask("GET", f"{self.url}?{sent}")
        return self.visitor.post(self.url, sent.encode())


def encoded(values: Mapping[str, str | bytes | Sequence[str | bytes]]) -> str:
    """Return the values as they stand in an address, also where they are no text."""
    pairs = [
        (name, value)
        for name, given in values.items()
        for value in ([given] if isinstance(given, str | bytes) else given)
    ]
    return "&".join(f"{quote_plus(name)}={_quoted(value)}" for name, value in pairs)


@cache  # some are long, and all are sent often
def _quoted(value: str | bytes) -> str:
    return quote_plus(value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass"))


def find_targets(
    visitors: Sequence[Visitor],
    url_of: Callable[[Address], str],
    examples: Mapping[type[Model], Model],
) -> list[Target]:
    """Look at every page, as each of the visitors, and return what takes input."""
    found: dict[tuple[Visitor, str, str, frozenset[str]], Target] = {}
    queries: dict[tuple[Visitor, str], Target] = {}
    for visitor in visitors:
        for form in _forms(visitor, url_of, examples):
            url = form.url.partition("?")[0] if form.method == "GET" else form.url
            if form.method == "GET":
                # All that a page takes together, whichever link or form it was found in.
                target = queries.setdefault((visitor, url), Target(visitor, "GET", url, {}))
                target.fields.update(form.fields)
            else:
                key = visitor, form.method, url, frozenset(form.fields)
                found.setdefault(key, Target(visitor, form.method, url, form.fields))
    return [*found.values(), *queries.values()]


def _forms(
    visitor: Visitor,
    url_of: Callable[[Address], str],
    examples: Mapping[type[Model], Model],
) -> Iterator[Form]:
    for address in all_addresses():
        url = url_of(address)
        entrance = ENTRANCES.get(address.key)
        answer = visitor.get(url)
        # The page that refuses has a form, too.
        yield from Page(url, answer.body).forms
        if answer.status < 400 and (names := _unseen(address)):
            yield Form("GET", url, {name: [] for name in names})
        if answer.location:
            yield from Page(url, f'<a href="{answer.location}">').forms
        if entrance and entrance.query:
            known = parse_qs(entrance.query.removeprefix("?"))
            yield Form("GET", url, known | {name: [] for name in OF_AUTOCOMPLETION})
        for action in entrance.actions if entrance else ():
            model = address.view.model_admin.model  # type: ignore[attr-defined]  # the admin's
            form = {"action": action, "_selected_action": str(examples[model].pk)}
            if (answer := visitor.post(url, encoded(form).encode())).status == 200:
                yield from Page(url, answer.body).forms


def _unseen(address: Address) -> tuple[str, ...]:
    """Return the parameters that a page takes though nothing on it may say so."""
    if hasattr(address.view, "model_admin"):
        return OF_A_LIST if address.key.endswith("_changelist") else OF_A_FORM
    return OF_OURS.get(address.key, ())
