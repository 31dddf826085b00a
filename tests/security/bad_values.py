"""What nobody sends who means well."""

from __future__ import annotations

from hypothesis import strategies as st

# Never on a page unless it was sent; what is in angle brackets or quotes has to be escaped.
MARK = "mark7f3a"
MARKUP = (
    f"\"'><svg onload={MARK}>",
    f"<script>{MARK}</script>",
    f"' onfocus={MARK} x=' \" onfocus={MARK} x=\"",
    f"</textarea></title></script></style>--><svg onload={MARK}>",
    f"javascript:{MARK}",
    f"data:text/html,<svg onload={MARK}>",
    "{{ 7|add:7 }}{% debug %}{% include 'base.html' %}${7*7}#{7*7}%(x)s{0.__class__}",
)
SQL = (
    "' OR 1=1 --",
    "1; DROP TABLE users; --",
    "') UNION SELECT password FROM users --",
    "%' ESCAPE '!",
    "\\",
    "$$;$$",
    "(",
    "(a+)+$",
    "[",
)
TEXT = (
    "",
    " ",
    "\t\r\n\v\f",
    "a\0b",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "\u202egnp.exe\u2066",
    "\ufeffnewcomer\u200b",
    "a" + "\u0301" * 200,
    "\U000e0001\U0010ffff",
    "\u0130\u0131\ufb01\u1e9e",
    "😀" * 150,
    "x" * 255,
    "x" * 1_000_000,
    "a " * 2_000,
    "newcomer\r\nSet-Cookie: a=b\r\n\r\n<svg>",
)
BYTES = (b"\xff", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80", b"\x80" * 100)
NUMBERS = (
    "0",
    "-1",
    "1.5",
    "1e999",
    "-0",
    "0x10",
    "1_000",
    "\uff11",
    "\u0661\u0662",
    "\u00b2",
    "NaN",
    "Infinity",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 40,
    "9" * 5_000,
)
TIMES = (
    "0000-00-00",
    "0001-01-01",
    "9999-12-31",
    "99999-01-01",
    "2026-02-30",
    "-4712-01-01",
    "0001-01-01T00:00:00+14:00_1",
    "9999-12-31T23:59:59-14:00_1",
    "2026-01-01T00:00:00+00:00_9223372036854775808",
    "24:00:00",
    "infinity",
    "now",
)
PLACES = (
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "//evil.example/",
    "https://evil.example/",
    "/\\evil.example/",
    "\\\\evil.example\\",
    "/users/\r\nLocation: //evil.example",
    "http:///evil.example",
)
STRUCTURES = ("[]", "{}", '{"a": ', "null", "[[[[", '{"__class__": 1}', "a=1&b=2", "on", "true")
FIXED = (*MARKUP, *SQL, *TEXT, *BYTES, *NUMBERS, *TIMES, *PLACES, *STRUCTURES)
# What to try in each field alone.
WORST = (MARKUP[0], "a\0b", b"\xff", "9" * 40, "")
# What the admin's lists may be filtered by, and the worst value for each way.
LOOKUPS = {
    "": "\0",
    "__in": "\0",
    "__isnull": "\ud800",
    "__gte": "9" * 40,
    "__startswith": "\0",
    "__regex": "(",
    "__year": "99999999999",
    "__has_key": "\0",
}
IN_PATHS = (
    *("0", "-1", "1.5", "1e5", "9" * 40, "9" * 5_000, "%EF%BC%91", "%C2%B2", "%00", "_00", "_5F"),
    *("%ff", "%ED%A0%80", "%E2%80%AE", "a" * 5_000, "..%2f..%2fetc%2fpasswd", "%2e%2e", "%5C"),
    *("%0d%0aSet-Cookie:a=b", f"%22%27%3E%3Csvg%20onload={MARK}%3E", "%27%20OR%201=1", "%25", "_"),
)

text = st.text(
    # Surrogates as well, which no page can send and anybody else can.
    alphabet=st.characters(exclude_categories=()),
    max_size=60,
)
value = st.one_of(
    st.sampled_from(FIXED),
    text,
    st.binary(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.builds(str.__add__, text, st.sampled_from(MARKUP)),
)
# Nothing, one, or many of the same name.
values = st.one_of(value, st.lists(value, max_size=3))
