"""Guessing passwords: five failures of a name from an address, then a quarter of an hour."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.management import call_command
from django.db.models import F
from django.test import Client
from django.utils import timezone

from accounts.models import User
from project.throttle import DELETED_AT_ONCE, counted_address
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

LIMIT = 5
LOCK = timedelta(minutes=15)
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def fail(name: str, address: str = HERE) -> Any:
    return log_in(name, "wrong", address)


def log_in(name: str, password: str, address: str = HERE) -> Any:
    form = {"username": name, "password": password}
    return Client().post("/login/", form, REMOTE_ADDR=address)


def lock(name: str, address: str = HERE) -> None:
    for _ in range(LIMIT):
        response = fail(name, address=address)
    assert response.status_code == 429


def let_pass(time: timedelta) -> None:
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - time)


def test_the_fifth_failure_locks_the_right_password_out_too(looker: User) -> None:
    assert [fail("looker").status_code for _ in range(LIMIT)] == [200] * (LIMIT - 1) + [429]
    assert log_in("looker", "password").status_code == 429


def test_the_page_says_how_long_it_lasts_and_who_can_end_it(looker: User) -> None:
    lock("looker")
    let_pass(timedelta(minutes=10))
    response = fail("looker")
    page = response.content.decode()
    assert "Try again in 5 minutes" in page
    assert "an administrator, who can unlock you" in page
    assert 0 < int(response["Retry-After"]) <= 5 * 60


def test_a_minute_that_has_begun_is_a_minute_to_wait(
    looker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    lock("looker")
    for seconds, told in ((61, "2 minutes;"), (60, "1 minute;"), (1, "1 minute;")):
        AccessAttempt.objects.update(attempt_time=now - LOCK + timedelta(seconds=seconds))
        response = fail("looker")
        assert f"Try again in {told}" in response.content.decode()
        assert response["Retry-After"] == str(seconds)


def test_names_that_do_not_exist_are_locked_in_the_same_way(looker: User) -> None:
    known = [fail("looker") for _ in range(LIMIT + 1)]
    unknown = [fail("nobody") for _ in range(LIMIT + 1)]
    assert [answer.status_code for answer in known] == [answer.status_code for answer in unknown]
    assert known[-1].content == unknown[-1].content
    assert known[-1].headers.keys() == unknown[-1].headers.keys()


def test_they_may_log_in_from_elsewhere_and_others_from_here(looker: User, outsider: User) -> None:
    lock("looker")
    assert log_in("looker", "password", ELSEWHERE).status_code == 302
    assert log_in("outsider", "password").status_code == 302
    assert log_in("looker", "password").status_code == 429


def test_another_spelling_of_the_name_is_the_same_name(looker: User) -> None:
    for name in ("looker", "LOOKER", "Looker", " looker ", "lOOKER"):
        response = fail(name)
    assert response.status_code == 429


@pytest.mark.parametrize("exists", [True, False])
def test_letters_that_only_python_takes_for_the_same_are_others(exists: bool) -> None:
    if exists:
        User.objects.create_user("russell", password="password")
    for _ in range(LIMIT - 1):
        fail("russell")
    assert fail("rußell").status_code == 200
    assert fail("RUSSELL").status_code == 429
    assert sorted(AccessAttempt.objects.values_list("failures_since_start", flat=True)) == [1, 5]


def test_another_browser_path_or_way_is_no_other_person(looker: User) -> None:
    for number in range(LIMIT):
        form = {"username": "looker", "password": "wrong", "next": f"/users/?{number}"}
        headers = {"User-Agent": f"browser {number}", "X-Forwarded-For": f"198.51.100.{number}"}
        response = Client().post(f"/login/?{number}", form, REMOTE_ADDR=HERE, headers=headers)
    assert response.status_code == 429


def test_it_ends_by_itself(looker: User) -> None:
    lock("looker")
    let_pass(LOCK)
    assert log_in("looker", "password").status_code == 302


def test_an_attempt_meanwhile_does_not_prolong_it(looker: User) -> None:
    lock("looker")
    let_pass(LOCK - timedelta(seconds=5))
    assert fail("looker").status_code == 429
    let_pass(timedelta(seconds=5))
    assert log_in("looker", "password").status_code == 302


def test_a_success_forgets_the_failures_before_it(looker: User) -> None:
    for _ in range(3):
        for _ in range(LIMIT - 1):
            assert fail("looker").status_code == 200
        assert log_in("looker", "password").status_code == 302
    assert not AccessAttempt.objects.exists()


def test_failures_long_ago_do_not_count(looker: User) -> None:
    for _ in range(LIMIT - 1):
        fail("looker")
    let_pass(LOCK)
    assert [fail("looker").status_code for _ in range(LIMIT)] == [200] * (LIMIT - 1) + [429]


@pytest.mark.django_db(transaction=True)
def test_many_attempts_at_once_count_as_one_after_the_other(
    looker: User, in_threads: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def encode(hasher: MD5PasswordHasher, password: str, salt: str) -> str:
        tried.append(password)
        return "md5$$"

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    errors = in_threads(*[lambda: fail("looker")] * 20)
    assert errors == [None] * 20
    assert len(tried) == LIMIT
    assert AccessAttempt.objects.get().failures_since_start == LIMIT


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("", "::"),
        ("unix:", "::"),
    ],
)
def test_addresses_of_one_network_are_counted_together(address: str, counted: str) -> None:
    assert counted_address(address) == counted


def test_changing_the_address_within_a_network_does_not_help(looker: User) -> None:
    for number in range(LIMIT):
        response = fail("looker", address=f"2001:db8::{number}")
    assert response.status_code == 429
    assert log_in("looker", "password", "2001:db8:0:1::1").status_code == 302


@pytest.mark.parametrize("name", ["looker", "my secret password"])
def test_nothing_that_was_typed_is_kept_but_the_name_of_a_user(
    looker: User, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    form = {"username": name, "password": "hunter2", "passwort": "hunter2", "next": "/hunter2/"}
    headers = {"User-Agent": "hunter2", "Accept": "hunter2"}
    Client().post("/login/?password=hunter2", form, headers=headers)
    ((row,),) = execute("SELECT row_to_json(a)::text FROM axes_accessattempt a")
    for text in (row, caplog.text):
        assert "hunter2" not in text
        assert "secret" not in text
        assert ("looker" in text) == (name == "looker")


def test_a_failure_is_a_line_of_the_log(looker: User, caplog: pytest.LogCaptureFixture) -> None:
    lock("looker")
    lines = [line for line in caplog.messages if line.startswith("Login")]
    assert lines[0] == "Login as looker from 192.0.2.1 failed (1 of 5)"
    assert lines[-1] == "Login as looker from 192.0.2.1 failed (5 of 5), locked"


@pytest.mark.parametrize("text", ["a\0b", "x" * 10_000, "ö€😀", "%00", ""])
def test_strange_input_breaks_nothing(looker: User, text: str) -> None:
    headers = {"User-Agent": text, "Accept": text}
    for form in ({"username": text, "password": "wrong"}, {"username": "looker", "password": text}):
        response = Client().post(f"/login/?{text}", {**form, "next": text}, headers=headers)
        assert response.status_code == 200
    assert log_in("looker", "password").status_code == 302


def test_a_failure_takes_few_queries(
    looker: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    # The first: the user, the count and its savepoints, then the user again, and what has run out.
    fail("looker")
    with django_assert_num_queries(6):
        fail("looker")
    lock("looker")
    with django_assert_num_queries(4):
        fail("looker")


def test_counts_that_have_run_out_are_deleted_a_few_at_a_time() -> None:
    rows = DELETED_AT_ONCE + 10
    AccessAttempt.objects.bulk_create(
        AccessAttempt(username=f"user{n}", ip_address=HERE, failures_since_start=1)
        for n in range(rows)
    )
    let_pass(LOCK)
    fail("nobody")
    assert AccessAttempt.objects.count() == rows - DELETED_AT_ONCE + 1
    fail("somebody")
    assert AccessAttempt.objects.count() == 2


def test_the_oldest_of_them_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("project.throttle.DELETED_AT_ONCE", 2)
    for name, minutes in (("young", 1), ("oldest", 60), ("middle", 30), ("old", 59)):
        AccessAttempt.objects.create(username=name, ip_address=HERE, failures_since_start=1)
        AccessAttempt.objects.filter(username=name).update(
            attempt_time=timezone.now() - LOCK - timedelta(minutes=minutes)
        )
    fail("nobody")
    left = AccessAttempt.objects.exclude(username__startswith="unknown:")
    assert set(left.values_list("username", flat=True)) == {"young", "middle"}


def test_they_are_found_by_an_index() -> None:
    execute("SET LOCAL enable_seqscan = off")
    plan = execute(
        "EXPLAIN SELECT id FROM axes_accessattempt WHERE attempt_time <= now()"
        " ORDER BY attempt_time LIMIT 100"
    )
    assert "project_login_attempts_idx" in str(plan)


@pytest.mark.parametrize(
    "command",
    [
        ["axes_reset_username", "LOOKER"],
        ["axes_reset_ip", "2001:db8::7"],
        ["axes_reset_ip_username", "2001:db8::8", "Looker"],
        ["axes_reset"],
    ],
    ids=" ".join,
)
def test_commands_unlock_by_name_and_address_as_people_write_them(
    looker: User, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lock("looker", "2001:db8::1")
    call_command(*command)
    assert "1 attempts removed." in capsys.readouterr().out
    assert log_in("looker", "password", "2001:db8::1").status_code == 302


def test_a_name_that_does_not_exist_can_be_unlocked_too() -> None:
    lock("nobody")
    call_command("axes_reset_username", "Nobody")
    assert not AccessAttempt.objects.exists()


def test_code_cannot_log_in_without_a_request_that_says_from_where(looker: User) -> None:
    with pytest.raises(ValueError, match="requires a request"):
        authenticate(username="looker", password="password")


def test_logging_out_deletes_nothing(as_looker: Client) -> None:
    AccessAttempt.objects.create(username="nobody", ip_address=HERE, failures_since_start=1)
    as_looker.post("/logout/")
    assert AccessAttempt.objects.exists()
