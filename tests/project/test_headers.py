"""The headers that protect visitors are on every answer, whoever gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test.client import _MonkeyPatchedWSGIResponse as Response

    from accounts.models import User

pytestmark = pytest.mark.django_db

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def policy(response: Response) -> dict[str, str]:
    directives = response["Content-Security-Policy"].split("; ")
    return dict(directive.split(" ", 1) for directive in directives)


def assert_protected(response: Response, status: int) -> None:
    assert response.status_code == status
    assert policy(response) == POLICY
    assert {name: response.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/users/", 200),
        ("/", 302),
        ("/users/0/", 404),
        ("/logout/", 405),
        ("/static/missing.css", 404),
        ("/users", 301),
        ("/admin/", 200),
        ("/admin/accounts/user/add/?_popup=1", 200),
        ("/admin/jsi18n/", 200),
        ("/admin/missing/", 404),
    ],
)
def test_they_are_on_pages_redirects_files_and_errors(
    as_administrator: Client, path: str, status: int
) -> None:
    assert_protected(as_administrator.get(path), status)


def test_they_are_on_static_files(client: Client) -> None:
    response = client.get("/static/joblogs.css")
    response.close()
    assert_protected(response, 200)


def test_they_are_on_parts_of_pages(as_administrator: Client, administrator: User) -> None:
    path = f"/users/{administrator.pk}/logs/"
    assert_protected(as_administrator.get(path), 200)
    assert_protected(Client().get(path, headers={"HX-Request": "true"}), 204)


def test_they_are_on_what_strangers_get(client: Client) -> None:
    assert_protected(client.get("/login/"), 200)
    assert_protected(client.get("/users/"), 302)
    assert_protected(client.get("/admin/"), 302)


def test_they_are_on_refusals(client: Client, outsider: User) -> None:
    client.force_login(outsider)
    assert_protected(client.get("/users/"), 403)
    assert_protected(client.get("/admin/"), 403)
    assert_protected(client.get("/users/", headers={"Host": "evil.example"}), 400)
    assert_protected(Client(enforce_csrf_checks=True).post("/login/"), 403)


def test_they_are_on_the_page_that_tells_of_too_many_attempts(client: Client) -> None:
    form = {"username": "nobody", "password": "wrong"}
    for _ in range(5):
        response = client.post("/login/", form)
    assert_protected(response, 429)


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, 500), (OperationalError, 503)], ids=["ours", "outage"]
)
def test_they_are_on_errors_of_ours(
    as_administrator: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], Exception],
    status: int,
) -> None:
    def fail(*args: object) -> None:
        raise error()

    monkeypatch.setattr("accounts.views.UserListView.get_queryset", fail)
    as_administrator.raise_request_exception = False
    assert_protected(as_administrator.get("/users/"), status)


@override_settings(SECURE_SSL_REDIRECT=True)
def test_they_are_on_the_way_to_https() -> None:
    assert_protected(Client().get("/users/"), 301)


@override_settings(DEBUG=True)
def test_only_debug_pages_have_scripts_of_their_own(client: Client) -> None:
    assert "Content-Security-Policy" not in client.get("/missing/")
    assert policy(client.get("/login/")) == POLICY
