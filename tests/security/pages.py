"""What a page lets people send: its forms as a browser would fill them, and its links."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

# Typed in where a form shows an empty field, so that it can be saved.
TYPED = {
    "email": "newcomer@example.org",
    "password": "correct horse battery",
    "text": "newcomer",
    "textarea": "newcomer",
}
PASSWORD = "password"  # everybody's, in the tests
_ADDRESSES = ("href", "hx-get")
_SWITCHES = ("checkbox", "radio")


class Form(NamedTuple):
    method: str
    url: str
    #: Every field by its name, with what a browser sends of it: nothing of an empty checkbox.
    fields: dict[str, list[str]]


class Page(HTMLParser):
    """The forms on a page; an address with a query counts as one, too."""

    def __init__(self, url: str, body: str) -> None:
        super().__init__()
        self.url = url
        self.forms: list[Form] = []
        self._by_id: dict[str, Form] = {}
        self._form: Form | None = None
        self._select: tuple[Form, str, bool] | None = None
        self._first_option: str | None = None
        self._textarea: tuple[Form, str] | None = None
        self.feed(body)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name in _ADDRESSES:
            self._note_address(given.get(name, ""))
        if tag == "form":
            action = urljoin(self.url, given.get("action") or self.url)
            self._form = Form(given.get("method", "get").upper(), action, {})
            self.forms.append(self._form)
            self._by_id[given.get("id", "")] = self._form
            return
        form = self._by_id.get(given["form"]) if "form" in given else self._form
        if tag == "option":
            self._note_option(given)
        elif form and given.get("name"):
            self._note_field(tag, form, given)

    def handle_data(self, data: str) -> None:
        if self._textarea:
            form, name = self._textarea
            form.fields[name] = [data.strip() or TYPED["textarea"]]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._textarea = None
        elif tag == "select" and self._select:
            form, name, is_multiple = self._select
            if not is_multiple and not form.fields[name] and self._first_option is not None:
                form.fields[name] = [self._first_option]
            self._select = None

    def _note_address(self, address: str) -> None:
        place = urlsplit(urljoin(self.url, address))
        if place.query and not place.netloc:
            names = parse_qs(place.query, keep_blank_values=True)
            self.forms.append(Form("GET", place.path, {name: [] for name in names}))

    def _note_option(self, given: dict[str, str]) -> None:
        if not self._select:
            return
        form, name, _ = self._select
        value = given.get("value", "")
        if self._first_option is None:
            self._first_option = value
        if "selected" in given:
            form.fields[name].append(value)

    def _note_field(self, tag: str, form: Form, given: dict[str, str]) -> None:
        name, kind = given["name"], given.get("type", "text")
        if name == "csrfmiddlewaretoken":
            return
        values = form.fields.setdefault(name, [])
        if tag == "select":
            self._select, self._first_option = (form, name, "multiple" in given), None
        elif tag == "textarea":
            values.append(TYPED["textarea"])
            self._textarea = form, name
        elif tag == "input" and kind in _SWITCHES:
            values += [given.get("value", "on")] if "checked" in given else []
        elif tag == "input" and kind != "submit":
            typed = PASSWORD if name == "old_password" else TYPED.get(kind, "")
            # What a search form was not given stays open.
            values.append(given.get("value") or (typed if form.method == "POST" else ""))
