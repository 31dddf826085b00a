"""The site as it is opened to the world: with its own settings, behind a proxy that ends TLS."""

from __future__ import annotations

import json
import re
from contextlib import closing
from http.client import HTTPConnection
from http.cookies import Morsel, SimpleCookie
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from tests.checkouts import environment
from tests.forking import ROOT
from tests.processes import WebServer, database_url, run_forked
from tests.sql import execute

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from email.message import Message
    from pathlib import Path

    from accounts.models import User

PRODUCTION = {
    "DATABASE_URL": "postgres://db.example/joblogs",
    "SECRET_KEY": "correct-horse-battery-staple-and-another-fifty-letters-of-it",
    "ALLOWED_HOSTS": "jobs.example.org",
}
TRANSPORT = (
    *("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"),
    *("SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS", "SECURE_HSTS_PRELOAD"),
)
YEAR = 365 * 24 * 3600


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_forked("manage.py", *arguments, cwd=ROOT, env=environment(**PRODUCTION | variables))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, [True, True, True, YEAR, True, False]),
        ({"HTTPS": "false"}, [False, False, False, 0, True, False]),
        ({"DEBUG": "true"}, [False, False, False, 0, True, False]),
        ({"DEBUG": "true", "HTTPS": "true"}, [True, True, True, YEAR, True, False]),
        (
            {"HSTS_SECONDS": "60", "HSTS_INCLUDE_SUBDOMAINS": "false", "HSTS_PRELOAD": "true"},
            [True, True, True, 60, False, True],
        ),
    ],
    ids=str,
)
def test_https_is_the_default_outside_development(
    variables: dict[str, str], expected: list[object]
) -> None:
    code = (
        "import json; from django.conf import settings;"
        f"print(json.dumps([getattr(settings, name) for name in {TRANSPORT}]))"
    )
    result = manage("shell", "-v0", "-c", code, **variables)
    assert json.loads(result.stdout) == expected, result.stderr


@pytest.mark.parametrize(
    ("variables", "warning"),
    [
        ({}, ""),
        ({"HSTS_PRELOAD": "true"}, ""),
        ({"HTTPS": "false"}, "security.W008"),
        ({"DEBUG": "true", "HTTPS": "true"}, "security.W018"),
        ({"SECRET_KEY": "brief"}, "security.W009"),
    ],
    ids=str,
)
def test_djangos_check_finds_what_is_wrong_and_nothing_else(
    variables: dict[str, str], warning: str
) -> None:
    result = manage("check", "--deploy", "--fail-level", "WARNING", **variables)
    assert warning in result.stderr
    assert (result.returncode == 0) == (warning == "")


class Answer(NamedTuple):
    status: int
    headers: Message
    page: str

    @property
    def token(self) -> str:
        match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.page)
        assert match, self.page
        return match[1]

    def cookie(self, name: str) -> Morsel[str] | None:
        cookies = SimpleCookie("; ".join(self.headers.get_all("Set-Cookie", [])))
        return cookies.get(name)


class Production(WebServer):
    """The web server with the project's own settings."""

    def __init__(self, log: Path, **variables: str) -> None:
        settings = {"DJANGO_SETTINGS_MODULE": "project.settings"}
        super().__init__(url=database_url(), log=log, **settings, **variables)

    def ask(
        self, target: str, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> Answer:
        """Send the form, or just ask for the page."""
        if form:
            headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(
                "POST" if form else "GET", target, urlencode(form) if form else None, headers
            )
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())

    def log_in(self, headers: dict[str, str], password: str) -> Answer:
        login = self.ask("/login/", headers)
        cookie = login.cookie("csrftoken")
        assert cookie
        headers = {
            **headers,
            "Cookie": f"csrftoken={cookie.value}",
            "Referer": f"https://127.0.0.1:{self.port}/login/",
        }
        form = {"username": "looker", "password": password, "csrfmiddlewaretoken": login.token}
        return self.ask("/login/", headers, form)

    @property
    def complaints(self) -> list[str]:
        """What the log holds besides a line for each request."""
        return [line for line in self.log.splitlines() if not line.startswith("INFO: ")]


@pytest.fixture
def start(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., Production]]:
    started: list[Production] = []

    def start(**variables: str) -> Production:
        started.append(Production(tmp_path / "web.log", **variables))
        started[-1].wait_until_ready()
        return started[-1]

    yield start
    for site in started:
        site.stop()


@pytest.fixture
def looker(looker: User) -> User:
    """A staff member whose password the site's own settings can check."""
    looker.password = PBKDF2PasswordHasher().encode("password", "a grain of salt")
    looker.save()
    return looker


BY_PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9, 198.51.100.7"}


def test_plain_http_is_sent_on_to_https(start: Callable[..., Production]) -> None:
    site = start(FORWARDED_ALLOW_IPS="192.0.2.1")
    # Somebody who is no proxy says so in vain that the connection is safe.
    for headers in ({}, BY_PROXY, {"X-Forwarded-Ssl": "on", "Forwarded": "proto=https"}):
        answer = site.ask("/users/?q=a", headers)
        assert answer.status == 301
        assert answer.headers["Location"] == f"https://127.0.0.1:{site.port}/users/?q=a"
        assert "Set-Cookie" not in answer.headers


def test_behind_a_proxy_all_is_as_over_https(
    start: Callable[..., Production], looker: User
) -> None:
    site = start(FORWARDED_ALLOW_IPS="127.0.0.1")
    login = site.ask("/login/", BY_PROXY)
    assert login.status == 200
    assert login.headers["Strict-Transport-Security"] == f"max-age={YEAR}; includeSubDomains"
    token = login.cookie("csrftoken")
    assert token
    assert token["secure"]

    session = site.log_in(BY_PROXY, "password").cookie("sessionid")
    assert session
    assert (session["secure"], session["httponly"], session["samesite"]) == (True, True, "Lax")


def test_the_address_is_the_one_that_the_last_proxy_saw(
    start: Callable[..., Production], looker: User
) -> None:
    site = start(FORWARDED_ALLOW_IPS="127.0.0.1")
    assert site.log_in(BY_PROXY, "wrong").status == 200
    assert AccessAttempt.objects.get().ip_address == "198.51.100.7"


def test_the_address_that_a_visitor_claims_is_not_believed(
    start: Callable[..., Production], looker: User
) -> None:
    site = start(FORWARDED_ALLOW_IPS="192.0.2.1", HTTPS="false")
    assert site.log_in(BY_PROXY, "wrong").status == 200
    assert AccessAttempt.objects.get().ip_address == "127.0.0.1"


def test_an_address_in_the_first_line_of_a_request_is_not_repeated(
    start: Callable[..., Production],
) -> None:
    site = start(HTTPS="false")
    for target in ("http://evil.example/users/", "//evil.example/users/", "//evil.example"):
        answer = site.ask(target, {})
        assert not answer.headers.get("Location", "").startswith(("http:", "//"))
        assert "evil.example" not in answer.page.replace("//evil.example/users/", "")


def test_a_refused_request_is_logged_and_gives_nothing_away(
    start: Callable[..., Production], looker: User
) -> None:
    site = start(HTTPS="false")
    session = site.log_in({}, "password").cookie("sessionid")
    assert session
    cookies = {"Cookie": f"sessionid={session.value}; csrftoken={'s3cret' * 5}xx"}
    form = {"username": "looker", "password": "s3cret", "csrfmiddlewaretoken": "s3cret" * 10}
    nothing = {"password": "s3cret"} | {f"field{number}": "s3cret" for number in range(1_001)}
    for reason, answer in (
        ("Invalid HTTP_HOST header", site.ask("/users/", {"Host": "evil.example"})),
        ("CSRF", site.ask("/login/", cookies, form)),
        ("Permission denied", site.ask("/users/new/", cookies)),
        ("Not Found", site.ask("/nonsense/%0aERROR%20forged", cookies)),
        ("GET/POST parameters exceeded", site.ask("/login/", cookies, nothing)),
    ):
        assert 400 <= answer.status < 500
        [line] = [line for line in site.complaints if reason in line]
        assert "Traceback" not in line
    assert "Traceback" not in site.log
    assert "\nERROR forged" not in site.log
    for secret in ("s3cret", session.value):
        assert secret not in site.log


def test_an_error_of_ours_is_in_the_log_and_not_on_the_page(
    start: Callable[..., Production], looker: User
) -> None:
    site = start(HTTPS="false")
    execute("ALTER TABLE django_session RENAME TO hidden")
    try:
        answer = site.ask("/users/", {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"})
    finally:
        execute("ALTER TABLE hidden RENAME TO django_session")
    assert answer.status == 500
    assert "django_session" not in answer.page
    assert "relation" not in answer.page
    assert "Traceback" in site.log
    assert "abcdefghijklmnopqrstuvwxyz012345" not in site.log
