"""Requests that another site, or a liar, has made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from tests.project.pages import named_pages

if TYPE_CHECKING:
    from accounts.models import User

pytestmark = pytest.mark.django_db

LIES = [
    "evil.example",
    "evil.example:80",
    "localhost.evil.example",
    "evil.example/localhost",
    "testserver@evil.example",
    "localhost:evil.example",
    "localhost,evil.example",
    "",
]
PAGES = [
    reverse(name, kwargs={group: "auth" if group == "app_label" else 1 for group in groups})
    for name, groups in named_pages()
]


def is_refused(client: Client, url: str, **headers: str) -> bool:
    response = client.post(url, {"username": "x", "post": "yes"}, headers=headers)
    return response.status_code == 403 and "This form is too old" in response.content.decode()


@pytest.mark.parametrize("url", PAGES)
def test_no_page_takes_a_form_that_another_site_made(administrator: User, url: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(administrator)
    assert is_refused(client, url)
    assert is_refused(Client(enforce_csrf_checks=True), url)


def test_a_token_does_not_help_a_form_of_another_site(looker: User) -> None:
    client = Client(enforce_csrf_checks=True)
    token = client.get("/login/").cookies["csrftoken"].value
    form = {"username": "looker", "password": "password", "csrfmiddlewaretoken": token}
    for origin in ("https://evil.example", "null", "https://testserver"):
        response = client.post("/login/", form, headers={"Origin": origin})
        assert response.status_code == 403
    assert client.post("/login/", form, headers={"Origin": "http://testserver"}).status_code == 302


@pytest.mark.parametrize("host", LIES)
@pytest.mark.parametrize("https", [True, False])
def test_a_host_that_is_not_ours_is_refused_and_not_repeated(host: str, https: bool) -> None:
    with override_settings(SECURE_SSL_REDIRECT=https):
        response = Client().get("/login/", headers={"Host": host})
    assert response.status_code == 400
    assert "evil" not in response.content.decode()
    assert "Location" not in response


def test_what_visitors_say_of_the_host_elsewhere_is_ignored(client: Client) -> None:
    lies = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    for url in ("/login/", "/users/", "/users"):
        response = client.get(url, headers=lies)
        assert "evil" not in response.content.decode() + response.get("Location", "")
    with override_settings(SECURE_SSL_REDIRECT=True):
        response = Client().get("/login/", headers=lies)
    assert response["Location"] == "https://testserver/login/"
