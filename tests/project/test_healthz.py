"""/healthz tells load balancers whether the web process and its database answer, and no more."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.processes import WebServer, database_url
from tests.proxies import FreezingProxy
from tests.sql import elsewhere
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from project.postgres.embedded import EmbeddedPostgres

    StartSite = Callable[..., WebServer]

HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
# What the server puts into every answer, whatever it is.
OF_THE_SERVER = {"date", "server", "content-length"}


class Answer(NamedTuple):
    status: int
    body: str
    headers: dict[str, str]
    took: float  # seconds


def ask(
    site: WebServer, method: str = "GET", path: str = "/healthz", *, host: str = "10.1.2.3:8000"
) -> Answer:
    started = time.monotonic()
    with closing(HTTPConnection("127.0.0.1", site.port, timeout=30)) as probe:
        probe.request(method, path, headers={"Host": host, "Cookie": "sessionid=x"})
        response: HTTPResponse = probe.getresponse()
        body = response.read().decode()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, body, headers, time.monotonic() - started)


def ask_by_fifty(site: WebServer) -> list[Answer]:
    """Return the answers to fifty who ask at once."""
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(site)), daemon=True) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[StartSite]:
    """Start the site as in production: it redirects to HTTPS, and knows one host name only."""
    sites: list[WebServer] = []

    def start(url: str) -> WebServer:
        site = WebServer(
            url=url,
            log=tmp_path / "web.log",
            DJANGO_SETTINGS_MODULE="project.settings",
            HTTPS="true",
            ALLOWED_HOSTS="jobs.example.org",
        )
        sites.append(site)
        wait_for(lambda: site.has_ended or "Uvicorn running" in site.log)
        assert not site.has_ended, site.log
        return site

    yield start
    for site in sites:
        site.stop()
        assert "Traceback" not in site.log


@pytest.fixture
def proxy(db: None) -> Iterator[FreezingProxy]:
    proxy = FreezingProxy()
    yield proxy
    proxy.close()


def url_through(proxy: FreezingProxy) -> str:
    return database_url(host="127.0.0.1", port=proxy.port)


@pytest.mark.django_db(transaction=True)
def test_it_says_ok_to_whoever_asks_in_whatever_way(start_site: StartSite) -> None:
    site = start_site(database_url())
    answer = ask(site)
    assert (answer.status, answer.body) == (200, "ok")
    told = {name: text for name, text in answer.headers.items() if name not in OF_THE_SERVER}
    assert told == HEADERS
    head = ask(site, "HEAD")
    assert (head.status, head.body) == (200, "")
    assert head.headers["content-length"] == "2"
    assert ask(site, path="/healthz?verbose=1").status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refusal = ask(site, method)
        assert (refusal.status, refusal.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.django_db(transaction=True)
def test_no_other_address_is_answered_before_django(start_site: StartSite) -> None:
    site = start_site(database_url())
    for path in ("/healthz/", "/healthzz", "/login/", "//healthz"):
        assert ask(site, path=path).status == 400  # the wrong host
        assert ask(site, path=path, host="jobs.example.org").status == 301  # to HTTPS


@pytest.mark.django_db(transaction=True)
def test_many_who_ask_share_a_connection_beside_the_pool(
    start_site: StartSite,
) -> None:
    site = start_site(f"{database_url()}&application_name=probed")
    answers = ask_by_fifty(site)
    assert [answer.body for answer in answers] == ["ok"] * 50
    states = "SELECT state FROM pg_stat_activity WHERE application_name = 'probed'"
    # Not in a transaction, which would hold up vacuum.
    wait_for(lambda: elsewhere(states) == [("idle",)])


def test_it_says_when_the_database_is_stopped_and_when_back(
    new_server: Callable[[Path], EmbeddedPostgres], start_site: StartSite, tmp_path: Path
) -> None:
    server = new_server(tmp_path)
    site = start_site(f"postgresql://postgres@/joblogs?host={server.ensure_running()}")
    assert ask(site).body == "ok"

    server.stop()
    for _ in range(3):
        answer = ask(site)
        assert (answer.status, answer.body) == (503, "unavailable")
        assert answer.headers.keys() - OF_THE_SERVER == HEADERS.keys()
    assert site.log.count("/healthz answers 503: Cannot reach PostgreSQL at ") == 1

    server.ensure_running()
    # At once, on a new connection, also when the server was only started again.
    assert ask(site).body == "ok"
    assert site.log.count("/healthz answers 200 again") == 1
    server.stop()
    server.ensure_running()
    assert ask(site).body == "ok"
    assert "psycopg" not in site.log.lower()


def test_a_silent_database_is_not_waited_for_or_asked_by_many(
    start_site: StartSite,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        site = start_site(f"postgres://postgres@127.0.0.1:{silent.getsockname()[1]}/joblogs")
        answers = ask_by_fifty(site)
        silent.settimeout(0.1)
        callers = 0
        with suppress(TimeoutError):
            while True:
                silent.accept()[0].close()
                callers += 1
    assert {answer.body for answer in answers} == {"unavailable"}
    assert max(answer.took for answer in answers) < 5
    assert callers <= 3


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_has_frozen_is_replaced_in_time(
    start_site: StartSite, proxy: FreezingProxy
) -> None:
    site = start_site(url_through(proxy))
    assert ask(site).body == "ok"
    assert ask(site).body == "ok"
    assert proxy.accepted == 1
    proxy.freeze()

    def answers_ok() -> bool:
        answer = ask(site)
        assert answer.took < 5
        return answer.body == "ok"

    # A machine that has much to do may need a second try.
    wait_for(answers_ok, seconds=10)
    assert proxy.accepted >= 2


@pytest.mark.django_db(transaction=True)
def test_a_pooler_that_lets_in_is_no_answer_of_the_database(
    start_site: StartSite, proxy: FreezingProxy
) -> None:
    site = start_site(url_through(proxy))
    proxy.unanswered = b"SELECT 1"
    for _ in range(2):
        answer = ask(site)
        assert answer.body == "unavailable"
        assert answer.took < 6
    assert proxy.accepted >= 2
    proxy.unanswered = None
    assert ask(site).body == "ok"
