"""Requests that no browser makes: broken bodies, and headers that say what is not so."""

from __future__ import annotations

from tests.security.bad_values import MARK, MARKUP
from tests.security.visitors import FORM

TEN_MB = b"x" * 10_000_000
_JOIN = "multipart/form-data; boundary=join"
_FIELD = b'--join\r\nContent-Disposition: form-data; name="username"'
_END = b"\r\n--join--\r\n"

#: Each with what it says that it is.
BODIES: dict[str, tuple[str, bytes]] = {
    "10 MB in a field": (FORM, b"username=" + TEN_MB),
    "10 MB of nothing": (FORM, b"&" * len(TEN_MB)),
    "2,000 fields": (FORM, b"&".join(b"f%d=1" % number for number in range(2_000))),
    "the same field 2,000 times": (FORM, b"&".join([b"username=x"] * 2_000)),
    "not UTF-8": (FORM, b"username=\xff\xfe&\xff=%ff%fe%"),
    "not percent-encoded": (FORM, b"username=%&=%zz&%u0000=%u0000&;;==&&"),
    "another character set": (f"{FORM}; charset=utf-16", "username=x".encode("utf-16")),
    "JSON": ("application/json", b'{"username": {"$ne": null}, "__proto__": 1}'),
    "broken JSON": ("application/json", b'{"username": '),
    "XML": ("application/xml", b'<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]><x>&x;</x>'),
    "plain text": ("text/plain", b"username=x"),
    "no type": ("", b"username=x"),
    "a broken type": (";;=/multipart/form-data;boundary", _FIELD),
    "parts in another character set": (f"{_JOIN}; charset=hex", _FIELD + b"\r\n\r\n\xff" + _END),
    "no boundary": ("multipart/form-data", _FIELD + b"\r\n\r\nx" + _END),
    "an endless boundary": (f"multipart/form-data; boundary={'-' * 5_000}", _FIELD + _END),
    "a boundary that is not ASCII": ("multipart/form-data; boundary=\xff", _FIELD + _END),
    "no end": (_JOIN, _FIELD + b"\r\n\r\nx"),
    "no content": (_JOIN, _FIELD),
    "no parts": (_JOIN, _END),
    "parts without a name": (_JOIN, b"--join\r\nContent-Disposition: form-data\r\n\r\nx" + _END),
    "a part that is no base64": (
        _JOIN,
        _FIELD + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff=x" + _END,
    ),
    "a part of another character set": (
        _JOIN,
        _FIELD + b"\r\nContent-Type: text/plain; charset=hex\r\n\r\nzz" + _END,
    ),
    "10 MB in a part": (_JOIN, _FIELD + b"\r\n\r\n" + TEN_MB + _END),
    "a file of 10 MB": (_JOIN, _FIELD + b'; filename="../../x"\r\n\r\n' + TEN_MB + _END),
    "a file without a name": (_JOIN, _FIELD + b'; filename=""\r\n\r\nx' + _END),
    "a file name with NUL": (_JOIN, _FIELD + b"; filename*=utf-8''%00%ff\r\n\r\nx" + _END),
    "2,000 files": (_JOIN, (_FIELD + b'; filename="x"\r\n\r\nx\r\n') * 2_000 + _END),
}

#: What can stand in place of a good session, token or message.
_COOKIES = (
    "",
    "x" * 5_000,
    "\xff\xfe" * 20,
    '"\\000aaaaaaaaaaaa"',  # NUL, once it is unquoted
    '"\\377\\012aaaaaaaaaa"',
    "W10:1aaaaa:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "a" * 32,
    MARKUP[0],
)
HEADERS: list[tuple[str, str]] = [
    *(
        ("cookie", f"{name}={value}")
        for name in ("sessionid", "csrftoken", "messages")
        for value in _COOKIES
    ),
    *(("cookie", value) for value in (";" * 1_000, "=", "=;=", "sessionid", "\xff", "a=b;" * 999)),
    *(
        ("host", value)
        for value in (
            "",
            "evil.example",
            "localhost:99999",
            "[::1",
            "localhost, x",
            "\xff",
            "a" * 999,
        )
    ),
    *(
        (name, value)
        for name in (
            "user-agent",
            "referer",
            "origin",
            "accept-language",
            "accept",
            "x-forwarded-for",
        )
        for value in ("", MARKUP[0], "\xff\xfe", "x" * 50_000, ",;q=" * 5_000, f"{MARK}'")
    ),
    *(
        (name, value)
        for name in ("hx-request", "hx-target", "hx-current-url", "hx-prompt", "hx-boosted")
        for value in ("", "true", MARKUP[0], "\xff")
    ),
    *(("content-length", value) for value in ("0", "1", "9" * 19)),
    *(
        ("content-type", f"text/html; charset={value}")
        for value in ("hex", "utf-16", "idna", "undefined", "nonsense", "\xff")
    ),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "https, x"),
    ("x-http-method-override", "DELETE"),
    ("x-original-url", "/admin/"),
    ("range", "bytes=0-0,-1"),
    ("if-modified-since", "x" * 999),
    ("if-none-match", '"' * 999),
    ("accept-encoding", "gzip;q=x, *;q=-1"),
    ("expect", "x"),
]
