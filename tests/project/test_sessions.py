"""A session begins at login and ends for certain."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext

if TYPE_CHECKING:
    from accounts.models import User

pytestmark = pytest.mark.django_db

SESSION = settings.SESSION_COOKIE_NAME
NEW = "correct horse battery"
TWELVE_HOURS = timedelta(hours=12)


def is_logged_in(client: Client) -> bool:
    return client.get("/users/").status_code == 200


def log_in(client: Client) -> None:
    response = client.post("/login/", {"username": "looker", "password": "password"})
    assert response.status_code == 302


def test_its_cookie_is_kept_from_scripts_and_other_sites(client: Client, looker: User) -> None:
    log_in(client)
    cookie = client.cookies[SESSION]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["domain"]
    assert client.cookies["csrftoken"]["samesite"] == "Lax"


def test_it_ends_twelve_hours_after_login(client: Client, looker: User) -> None:
    log_in(client)
    assert 0 <= TWELVE_HOURS.total_seconds() - client.cookies[SESSION]["max-age"] < 60
    Session.objects.update(expire_date=F("expire_date") - TWELVE_HOURS + timedelta(seconds=9))
    assert is_logged_in(client)
    Session.objects.update(expire_date=F("expire_date") - timedelta(seconds=9))
    assert not is_logged_in(client)


def test_using_it_does_not_prolong_it(client: Client, looker: User) -> None:
    log_in(client)
    end = client.session.get_expiry_date()
    client.post(
        "/password/", {"old_password": "password", "new_password1": NEW, "new_password2": NEW}
    )
    assert is_logged_in(client)
    assert client.session.get_expiry_date() == end
    assert Session.objects.get(pk=client.session.session_key).expire_date == end


def test_a_key_known_before_login_is_worth_nothing_after(looker: User) -> None:
    victim, attacker = Client(), Client()
    planted = attacker.session
    planted["planted"] = True
    planted.save()
    victim.cookies[SESSION] = attacker.cookies[SESSION] = str(planted.session_key)
    log_in(victim)
    assert victim.cookies[SESSION].value != planted.session_key
    assert is_logged_in(victim)
    assert not is_logged_in(attacker)
    assert not Session.objects.filter(pk=planted.session_key).exists()


def test_logging_out_ends_it_on_the_server(client: Client, looker: User) -> None:
    log_in(client)
    copy = Client()
    copy.cookies[SESSION] = client.cookies[SESSION].value
    assert is_logged_in(copy)
    client.post("/logout/")
    assert not is_logged_in(copy)


def test_a_new_password_ends_the_sessions_elsewhere(client: Client, looker: User) -> None:
    elsewhere = Client()
    log_in(client)
    log_in(elsewhere)
    client.post(
        "/password/", {"old_password": "password", "new_password1": NEW, "new_password2": NEW}
    )
    assert is_logged_in(client)
    assert not is_logged_in(elsewhere)


@pytest.mark.parametrize("how", ["a new password", "no password", "not active", "deleted"])
def test_an_administrator_ends_the_sessions_of_others(
    as_administrator: Client, looker: User, how: str
) -> None:
    theirs = Client()
    log_in(theirs)
    page, form = {
        "a new password": ("password", {"password1": NEW, "password2": NEW}),
        "no password": ("password", {"usable_password": "false"}),
        "not active": ("edit", {"username": "looker"}),
        "deleted": ("delete", {}),
    }[how]
    response = as_administrator.post(f"/users/{looker.pk}/{page}/", form)
    assert response.status_code == 302
    assert not is_logged_in(theirs)


def test_strangers_have_none(client: Client) -> None:
    client.get("/login/")
    client.get("/users/")
    assert SESSION not in client.cookies
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    ("key", "is_looked_for"),
    [("a" * 32, True), ("ä" * 32, False), ("a" * 31 + "٣", False), ("a" * 31 + "-", False)],
)
def test_what_cannot_be_a_key_is_not_looked_for(
    client: Client, key: str, is_looked_for: bool
) -> None:
    # The bytes of a header, as servers hand them on.
    cookie = f"{SESSION}={key}".encode().decode("latin-1")
    with CaptureQueriesContext(connection) as queries:
        response = client.get("/users/", HTTP_COOKIE=cookie)
    assert response["Location"].startswith("/login/")
    assert any("django_session" in query["sql"] for query in queries) == is_looked_for
