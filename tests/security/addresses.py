"""Every address of the site, found where Django itself looks: nobody has to remember a new one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.admin.utils import quote
from django.urls import URLPattern, get_resolver, resolve
from django.urls.resolvers import RegexPattern, RoutePattern

from accounts.models import User
from joblogs.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model

# What stands in an address for one object.
_OBJECT = ("{pk}", "{id}", "{object_id}")
# What stands in it for one of a few words, each with an address of its own.
_CHOICES = {"verb": tuple(VERBS)}
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")
_GROUP = re.compile(r"\(\?P<(\w+)>([^)]*)\)")


class Address(NamedTuple):
    """Where one view is found."""

    #: Its name, as in `reverse()`; its route where it has no name. Where a name stands for several
    #: addresses, such as the admin's index of each app, what they differ in is behind it.
    key: str
    template: str  # "/users/{pk}/edit/"
    view: Callable[..., Any]

    @property
    def model(self) -> type[Model] | None:
        """The model whose object the address is about; None when it is about none."""
        if not any(parameter in self.template for parameter in _OBJECT):
            return None
        admin = getattr(self.view, "model_admin", None)
        model: type[Model] = admin.model if admin else User
        return model

    def url(self, pk: str | int | None) -> str:
        """Return the address of the object with this primary key."""
        url = self.template
        text = str(quote(pk) if pk and hasattr(self.view, "model_admin") else pk)
        for parameter in _OBJECT:
            url = url.replace(parameter, text)
        # The admin's own view for whatever is not found.
        return url.replace("{url}", "nonsense/")

    def url_of(self, pk: str | int | None) -> str:
        """Return the address of that object, having made sure that it leads to this view."""
        url = self.url(pk)
        assert "{" not in url, f"Say in addresses.py what to put in {url} ({self.key})"
        assert resolve(url).func is self.view, f"{url} leads elsewhere than to {self.key}"
        return url


def all_addresses() -> list[Address]:
    return list(_walk(get_resolver(), "/", ""))


def _walk(resolver: Any, before: str, namespace: str) -> Iterator[Address]:
    for entry in resolver.url_patterns:
        for template, choice in _templates(entry.pattern):
            if isinstance(entry, URLPattern):
                url = f"{before}{template}"
                key = f"{namespace}{entry.name}{choice}" if entry.name else url
                yield Address(key, url, entry.callback)
            else:
                inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
                yield from _walk(entry, f"{before}{template}", inner)


def _templates(pattern: Any) -> Iterator[tuple[str, str]]:
    """Return the pattern with its parameters in braces, and what was chosen for one of them."""
    if isinstance(pattern, RoutePattern):
        text, choices = _CONVERTED.sub(r"{\1}", str(pattern)), _CHOICES
    else:
        assert isinstance(pattern, RegexPattern), f"Teach addresses.py about {pattern!r}"
        text = str(pattern).removeprefix("^").removesuffix("$")
        groups = dict(_GROUP.findall(text))
        text = _GROUP.sub(r"{\1}", text)
        choices = {name: tuple(words.split("|")) for name, words in groups.items() if "|" in words}
    for name, words in choices.items():
        if f"{{{name}}}" in text:
            yield from ((text.replace(f"{{{name}}}", word), f" {word}") for word in words)
            return
    yield text, ""
