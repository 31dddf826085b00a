"""What a browser or Django's test client could not send, sent to the web server itself."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from accounts.models import User
from joblogs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from tests.processes import WebServer

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "t" * 32
HOST = b"Host: 127.0.0.1\r\n"
FORM = HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
END = b"Connection: close\r\n\r\n"

REQUESTS = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "another version": b"GET /login/ HTTP/9.9\r\n" + HOST + END,
    "no version": b"GET /login/\r\n\r\n",
    "no such method": b"BREW /login/ HTTP/1.1\r\n" + HOST + END,
    "a method with NUL": b"GE\0T /login/ HTTP/1.1\r\n" + HOST + END,
    "no host": b"GET /login/ HTTP/1.1\r\n" + END,
    "two hosts": b"GET /login/ HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n" + END,
    "a host with an account": b"GET /login/ HTTP/1.1\r\nHost: a@127.0.0.1\r\n" + END,
    "a whole URL": b"GET http://evil.example/login/ HTTP/1.1\r\n" + HOST + END,
    "an asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + END,
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + END,
    "bytes in the path": b"GET /\xff\xfe/ HTTP/1.1\r\n" + HOST + END,
    "NUL in the path": b"GET /login/\0 HTTP/1.1\r\n" + HOST + END,
    "an encoded NUL in the path": b"GET /users/%00/ HTTP/1.1\r\n" + HOST + END,
    "a broken escape": b"GET /users/%/%zz/ HTTP/1.1\r\n" + HOST + END,
    "the way up": b"GET /static/../../../../etc/passwd HTTP/1.1\r\n" + HOST + END,
    "the way up, encoded": b"GET /static/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\r\n" + HOST + END,
    "an endless path": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + HOST + END,
    "an endless query": b"GET /login/?" + b"x=1&" * 10_000 + b" HTTP/1.1\r\n" + HOST + END,
    "an endless header": b"GET /login/ HTTP/1.1\r\n"
    + HOST
    + b"X: "
    + b"x" * 100_000
    + b"\r\n"
    + END,
    "10,000 headers": b"GET /login/ HTTP/1.1\r\n" + HOST + b"X: 1\r\n" * 10_000 + END,
    "NUL in a header": b"GET /login/ HTTP/1.1\r\n" + HOST + b"Cookie: sessionid=a\0b\r\n" + END,
    "NUL in a session": (
        b"GET /login/ HTTP/1.1\r\n" + HOST + b'Cookie: sessionid="\\000aaaaaaaaaaaa"\r\n' + END
    ),
    "a folded header": b"GET /login/ HTTP/1.1\r\n" + HOST + b"X: 1\r\n\t2\r\n" + END,
    "a header without a name": b"GET /login/ HTTP/1.1\r\n" + HOST + b": 1\r\n" + END,
    "a switch to HTTP/2": (
        b"GET /login/ HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n"
    ),
    "a web socket": (
        b"GET /login/ HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
    **{
        f"a length of {length.decode('latin-1'):.10}": (
            b"POST /login/ HTTP/1.1\r\n"
            + FORM
            + b"Content-Length: "
            + length
            + b"\r\n"
            + END
            + b"a=b"
        )
        for length in (b"-1", b"x", b"1e3", b"+3", b"0x3", b"\xb2", b"9" * 5_000, b"3, 4")
    },
    "two lengths": (
        b"POST /login/ HTTP/1.1\r\n"
        + FORM
        + b"Content-Length: 3\r\nContent-Length: 4\r\n"
        + END
        + b"a=b"
    ),
    "a length and chunks": (
        b"POST /login/ HTTP/1.1\r\n"
        + FORM
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"
        + END
        + b"0\r\n\r\n"
    ),
    "chunks of no size": (
        b"POST /login/ HTTP/1.1\r\n"
        + FORM
        + b"Transfer-Encoding: chunked\r\n"
        + END
        + b"zz\r\na=b\r\n"
    ),
    "chunks in another way": (
        b"POST /login/ HTTP/1.1\r\n"
        + FORM
        + b"Transfer-Encoding: xchunked\r\n"
        + END
        + b"3\r\na=b\r\n"
    ),
    **{
        f"content type {kind.decode('latin-1'):.30}": (
            b"POST /login/ HTTP/1.1\r\n"
            + HOST
            + b"Content-Type: "
            + kind
            + b"\r\nContent-Length: 3\r\n"
            + END
            + b"a=b"
        )
        for kind in (
            b"text/plain; x*=foo''%41",
            b"text/plain; charset*=idna''%41",
            b"text/plain; charset*=punycode''%ff",
            b"text/plain; x*=undefined''a",
            b"text/plain; x*" + b"9" * 5_000 + b"=1",
            b'text/plain; x="' + b";" * 20_000,
            b"text/plain; charset=hex",
            b"text/plain\r\nContent-Type: text/html",
            b"\xff",
        )
    },
    "10 MB": (
        b"POST /login/ HTTP/1.1\r\n"
        + FORM
        + b"Content-Length: 10000000\r\n"
        + END
        + b"x" * 10_000_000
    ),
    "10 MB in chunks": (
        b"POST /login/ HTTP/1.1\r\n"
        + FORM
        + b"Transfer-Encoding: chunked\r\n"
        + END
        + (b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n") * 10
        + b"0\r\n\r\n"
    ),
}


def send(site: WebServer, request: bytes, *, wait: bool = True) -> bytes:
    """Return all that is answered until the connection ends; nothing when told not to wait."""
    place = urlsplit(site.address)
    received = b""
    with socket.create_connection((place.hostname, place.port or 80), timeout=20) as connection:
        try:
            connection.sendall(request)
            while wait and (part := connection.recv(65_536)):
                received += part
        except (BrokenPipeError, ConnectionResetError):
            pass  # It may hang up on what it does not want to hear.
    return received


def test_no_request_breaks_the_server(site: WebServer) -> None:
    wrong = []
    for name, request in REQUESTS.items():
        answer = send(site, request)
        status = answer.partition(b" ")[2][:3]
        if answer and not b"200" <= status < b"500":
            wrong.append(f"{name}: {answer[:100]!r}")
        if b"root:" in answer or b"evil.example" in answer:
            wrong.append(f"{name}: tells what it should not: {answer!r}")
    assert not wrong
    assert "Traceback" not in site.log
    assert b" 200 OK" in send(site, b"GET /login/ HTTP/1.1\r\n" + HOST + END)
    assert not site.has_ended


@pytest.fixture
def new_user(client: Client, administrator: User) -> Callable[[bytes, int], bytes]:
    """Make the request with which an administrator creates a user, with a length that it says."""
    client.force_login(administrator)

    def make(username: bytes, promised: int) -> bytes:
        form = b"csrfmiddlewaretoken=%b&usable_password=false&username=%b" % (
            TOKEN.encode(),
            username,
        )
        cookie = f"Cookie: sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}\r\n"
        length = b"Content-Length: %d\r\n" % (len(form) + promised)
        return b"POST /users/new/ HTTP/1.1\r\n" + FORM + cookie.encode() + length + END + form

    return make


def test_a_form_that_is_cut_off_creates_nobody(
    site: WebServer, new_user: Callable[[bytes, int], bytes]
) -> None:
    send(site, new_user(b"halfway", 1), wait=False)
    assert b" 302 Found" in send(site, new_user(b"complete", 0))
    assert set(User.objects.values_list("username", flat=True)) == {"administrator", "complete"}
    assert Job.objects.count() == 2
    assert "Traceback" not in site.log
