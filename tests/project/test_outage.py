"""The database goes away while people submit forms: they are told, and nothing is half-done."""

from __future__ import annotations

import http.cookiejar
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.processes import Process, WebServer
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from project.postgres.embedded import EmbeddedPostgres

CREATE_ADMINISTRATOR = (
    "from accounts.models import User;"
    "User.objects.create_superuser('administrator', password='password')"
)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


class Visitor:
    """Somebody with a browser: keeps cookies, sends the token of the form it was shown."""

    def __init__(self, site: WebServer) -> None:
        self.address = site.address
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies, NoRedirects)
        self.token = ""

    def get(self, path: str) -> tuple[int, str]:
        return self._open(path, None)

    def post(self, path: str, **form: str) -> tuple[int, str]:
        return self._open(path, {**form, "csrfmiddlewaretoken": self.token})

    def _open(self, path: str, form: dict[str, str] | None) -> tuple[int, str]:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            answer = self.opener.open(f"{self.address}{path}", data, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            page = answer.read().decode()
        if token := re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page):
            self.token = token[1]
        return answer.status, page

    def log_in(self) -> None:
        self.get("/login/")
        status, _ = self.post("/login/", username="administrator", password="password")
        assert status == 302
        assert self.get("/users/new/")[0] == 200
        assert self.get("/static/joblogs.css")[0] == 200


@pytest.fixture
def database(
    new_server: Callable[[Path], EmbeddedPostgres], tmp_path: Path
) -> tuple[EmbeddedPostgres, str]:
    """A server that a test may stop, with the project's tables and an administrator."""
    server = new_server(tmp_path)
    url = f"postgresql://postgres@/joblogs?host={server.ensure_running()}"
    for command in (["migrate"], ["shell", "-c", CREATE_ADMINISTRATOR]):
        process = Process("manage.py", *command, url=url, log=tmp_path / "setup.log")
        assert process.process.wait(timeout=90) == 0, process.log
    return server, url


@pytest.fixture
def site(database: tuple[EmbeddedPostgres, str], tmp_path: Path) -> Iterator[WebServer]:
    web = WebServer(url=database[1], log=tmp_path / "web.log")
    try:
        web.wait_until_ready()
        yield web
    finally:
        web.stop()
    assert "Traceback" not in web.log
    assert "Warning" not in web.log


def users_and_jobs(url: str) -> tuple[set[int], list[int]]:
    """Return the ids of all users, and the users that jobs are about."""
    with psycopg.connect(url) as connection:
        users = {pk for (pk,) in connection.execute("SELECT id FROM users")}
        jobs = connection.execute("SELECT (args->>'user_id')::bigint FROM procrastinate_jobs")
        return users, sorted(pk for (pk,) in jobs)


def test_a_form_sent_amid_an_outage_is_a_503_and_saves_nothing(
    database: tuple[EmbeddedPostgres, str], site: WebServer
) -> None:
    server, url = database
    visitor = Visitor(site)
    visitor.log_in()
    before = users_and_jobs(url)

    server.stop()
    status, page = visitor.post("/users/new/", username="alice", usable_password="false")
    assert status == 503
    assert "most likely not saved" in page
    assert visitor.get("/users/")[0] == 503
    assert re.search("POST /users/new/ answered 503: .*: No such file or directory", site.log)
    # Its connections are a pool's, which says so when it loses them.
    assert "psycopg.pool" in site.log

    server.ensure_running()
    assert users_and_jobs(url) == before
    status, _ = visitor.post("/users/new/", username="alice", usable_password="false")
    assert status == 302
    users, jobs = users_and_jobs(url)
    assert sorted(users) == jobs
    assert len(users) == len(before[0]) + 1


def test_a_stop_amid_many_forms_leaves_each_user_one_job(
    database: tuple[EmbeddedPostgres, str], site: WebServer
) -> None:
    server, url = database
    statuses: list[int] = []
    stopped = threading.Event()

    def keep_creating(name: str, visitor: Visitor) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            form = {"username": f"{name}-{number}", "usable_password": "false"}
            statuses.append(visitor.post("/users/new/", **form)[0])

    threads = []
    for name in ("alice", "bob", "carol"):
        visitor = Visitor(site)
        visitor.log_in()
        threads.append(threading.Thread(target=keep_creating, args=[name, visitor]))
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: statuses.count(302) >= 5)
        server.stop()
        wait_for(lambda: 503 in statuses)
        server.ensure_running()
        created = statuses.count(302)
        wait_for(lambda: statuses.count(302) > created)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()

    assert set(statuses) == {302, 503}
    users, jobs = users_and_jobs(url)
    assert sorted(users) == jobs
    # A COMMIT whose answer was lost made a user, too; who was told so has one for certain.
    assert len(users) - 1 >= statuses.count(302)
