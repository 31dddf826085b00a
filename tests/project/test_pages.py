"""Logging in and out, and what people see when something is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import OperationalError
from django.template.loader import get_template
from procrastinate.exceptions import ConnectorException

from project.postgres.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from django.test import Client

    from accounts.models import User

pytestmark = pytest.mark.django_db


def test_one_logs_in_and_out(client: Client, looker: User) -> None:
    response = client.post("/login/", {"username": "LOOKER", "password": "password"}, follow=True)
    assert response.redirect_chain == [("/", 302), ("/users/", 302)]
    assert looker.username in response.content.decode()
    response = client.post("/logout/")
    assert response["Location"] == "/login/"
    assert client.get("/users/").status_code == 302


def test_logging_in_leads_to_the_page_one_wanted(client: Client, looker: User) -> None:
    form = {"username": "looker", "password": "password", "next": "/logs/"}
    assert client.post("/login/", form)["Location"] == "/logs/"


@pytest.mark.parametrize("username", ["looker", "nobody", "a\0b", "x" * 500, ""])
def test_a_wrong_name_or_password_is_explained(client: Client, looker: User, username: str) -> None:
    response = client.post("/login/", {"username": username, "password": "wrong"})
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_one_changes_ones_own_password(as_looker: Client, looker: User) -> None:
    form = {
        "old_password": "password",
        "new_password1": "correct horse battery",
        "new_password2": "correct horse battery",
    }
    response = as_looker.post("/password/", form, follow=True)
    assert "Password changed" in response.content.decode()
    assert as_looker.get("/users/").status_code == 200
    looker.refresh_from_db()
    assert looker.check_password("correct horse battery")


def test_a_page_that_does_not_exist_says_so(as_looker: Client) -> None:
    response = as_looker.get("/nonsense/<script>")
    assert response.status_code == 404
    assert "<script>" not in response.content.decode().replace("<script src", "")
    assert "Joblogs" in response.content.decode()


@pytest.mark.parametrize("template", ["500.html", "503.html", "400.html"])
def test_pages_for_the_worst_case_need_no_request_and_no_database(
    template: str, django_assert_num_queries: Callable[..., Any]
) -> None:
    with django_assert_num_queries(0):
        assert "Joblogs" in get_template(template).render()


def raises(error: Exception) -> Callable[..., Any]:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def test_an_error_of_ours_is_a_page_without_details(
    as_looker: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_looker.raise_request_exception = False
    monkeypatch.setattr("accounts.views.UserListView.get_queryset", raises(ValueError("a secret")))
    response = as_looker.get("/users/")
    assert response.status_code == 500
    assert "a secret" not in response.content.decode()
    assert "Joblogs" in response.content.decode()


def while_deferring(reason: str) -> Exception:
    error = ConnectorException()
    error.__cause__ = psycopg.errors.AdminShutdown(reason)
    return error


@pytest.mark.parametrize("error", [OperationalError, DatabaseUnreachable, while_deferring])
@pytest.mark.parametrize("place", ["view", "middleware"])
def test_a_database_that_is_away_is_a_page_that_says_so(
    as_looker: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[str], Exception],
    place: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    as_looker.raise_request_exception = False
    if place == "view":
        target = "accounts.views.UserListView.get_queryset"
    else:
        target = "django.contrib.sessions.middleware.SessionMiddleware.process_response"
    monkeypatch.setattr(target, raises(error("no way there")))
    response = as_looker.get("/users/")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "most likely not saved" in response.content.decode()
    assert "GET /users/ answered 503: " in caplog.text
    assert "no way there" in caplog.text


OURS = ["/users/", "/users/new/", "/logs/", "/password/", "/login/"]


@pytest.mark.parametrize("url", OURS)
def test_pages_have_no_inline_code_and_name_no_other_host(
    as_administrator: Client, administrator: User, url: str
) -> None:
    if url == "/login/":
        as_administrator.logout()
    page = as_administrator.get(url).content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)
