"""The login page sends nobody elsewhere, and tells nobody who has an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.hashers import MD5PasswordHasher

from accounts.models import User
from tests.meanwhile import meanwhile
from tests.project.pages import without_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

ELSEWHERE = [
    "https://evil.example/",
    "http://testserver.evil.example/",
    "http://testserver@evil.example/",
    "http:evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:///evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\x00//evil.example",
    "\x1f//evil.example",
    "/\n/evil.example",
    "//evil.example\\@testserver/",
    "javascript:alert(1)",
    "JavaScript:alert(1)//testserver/",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "ftp://testserver/",
    "//[::1",
    "//evil。example",  # browsers take it for a dot
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nobody_is_sent_to_another_site(client: Client, looker: User, url: str) -> None:
    page = client.get("/login/", {"next": url}).content.decode()
    assert 'name="next" value=""' in page
    form = {"username": "looker", "password": "password", "next": url}
    assert client.post("/login/", form)["Location"] == "/"
    # Once more as somebody who is logged in.
    assert client.get("/login/", {"next": url})["Location"] == "/"
    assert client.post("/logout/", {"next": url})["Location"] == "/login/"


@pytest.mark.parametrize("url", ["/logs/", "/users/?q=a%26b&page=2#top", "http://testserver/logs/"])
def test_pages_of_this_site_are_where_one_comes_back_to(
    client: Client, looker: User, url: str
) -> None:
    form = {"username": "looker", "password": "password", "next": url}
    assert client.post("/login/", form)["Location"] == url


@pytest.mark.parametrize("url", ["/login/", "/login/?next=/login/"])
def test_the_login_page_does_not_lead_to_itself(as_looker: Client, url: str) -> None:
    assert as_looker.get("/login/", {"next": url}, follow=True).status_code == 200


@pytest.fixture
def names(looker: User) -> dict[str, str]:
    User.objects.create_user("inactive", password="password", is_active=False)
    User.objects.create_user("without-password")
    return {
        "nobody": "password",
        "looker": "wrong",
        "inactive": "password",
        "INACTIVE": "wrong",
        "without-password": "password",
    }


def test_every_failure_is_answered_with_the_same_page(
    client: Client, names: dict[str, str]
) -> None:
    answers = []
    for name, password in names.items():
        response = client.post("/login/", {"username": name, "password": password})
        page = without_token(response).replace(f'value="{name}"', "")
        answers.append((response.status_code, response.headers.keys(), len(page), page))
    assert answers == answers[:1] * len(names)


def test_every_failure_takes_the_same_work(
    client: Client, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    encode = MD5PasswordHasher.encode

    def counting(hasher: MD5PasswordHasher, password: str, salt: str) -> str:
        computed.append(password)
        return encode(hasher, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counting)
    counts = []
    for name, password in names.items():
        computed.clear()
        client.post("/login/", {"username": name, "password": password})
        counts.append(len(computed))
    assert counts == [1] * len(names)


@pytest.mark.parametrize(
    "change",
    [User.delete, lambda looker: User.objects.filter(pk=looker.pk).update(is_active=False)],
    ids=["deleted", "deactivated"],
)
def test_who_is_changed_after_the_check_fails_like_everybody(
    client: Client,
    looker: User,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[User], object],
) -> None:
    wrong = client.post("/login/", {"username": "looker", "password": "wrong"})
    check = AuthenticationForm.clean

    def overtaken(form: AuthenticationForm) -> dict[str, object]:
        checked = check(form)
        change(User.objects.get(pk=looker.pk))
        return checked

    monkeypatch.setattr(AuthenticationForm, "clean", overtaken)
    answer = client.post("/login/", {"username": "looker", "password": "password"})
    assert answer.status_code == 200
    assert without_token(answer) == without_token(wrong)
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db(transaction=True)
def test_who_is_deleted_while_they_log_in_fails_like_everybody(
    client: Client, looker: User
) -> None:
    form = {"username": "looker", "password": "password"}
    answer = meanwhile(lambda: client.post("/login/", form), looker.delete, looker)
    assert answer.status_code == 200
    assert "Please enter a correct username and password." in answer.content.decode()


def test_a_password_is_long(client: Client, as_looker: Client) -> None:
    form = {"old_password": "password", "new_password1": "brief horse"}
    response = as_looker.post("/password/", {**form, "new_password2": "brief horse"})
    assert "at least 12 characters" in response.content.decode()
