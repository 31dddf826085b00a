"""A username, and an e-mail address if there is one, belongs to one user, whatever the case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import authenticate
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from accounts.conflicts import OVERTAKEN
from accounts.forms import UserCreationForm
from accounts.models import EMAIL_TAKEN, USERNAME_TAKEN, User
from joblogs.models import Job
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client, RequestFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("username", ["alice", "ALICE", "aLiCe"])
def test_the_database_holds_usernames_apart(username: str) -> None:
    User.objects.create_user("Alice")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(username)
    assert User.objects.count() == 1


def test_the_database_holds_addresses_apart() -> None:
    User.objects.create_user("alice", "Alice@example.org")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("bob", "ALICE@example.org")


def test_many_users_may_have_no_address() -> None:
    User.objects.create_user("alice")
    User.objects.create_user("bob")
    assert User.objects.filter(email="").count() == 2


def test_a_form_names_the_field_that_is_taken() -> None:
    User.objects.create_user("alice", "alice@example.org")
    form = UserCreationForm(
        {"username": "ALICE", "email": "Alice@Example.org", "usable_password": "false"}
    )
    assert form.errors == {"username": [USERNAME_TAKEN], "email": [EMAIL_TAKEN]}


def test_an_exact_duplicate_is_reported_once() -> None:
    User.objects.create_user("alice")
    form = UserCreationForm({"username": "alice", "usable_password": "false"})
    assert form.errors == {"username": [USERNAME_TAKEN]}


def test_a_user_does_not_conflict_with_itself() -> None:
    user = User.objects.create_user("alice", "alice@example.org")
    user.username, user.email = "ALICE", "ALICE@example.org"
    user.full_clean(exclude=["password"])


def test_other_constraints_keep_their_own_place() -> None:
    with pytest.raises(ValidationError) as caught:
        User(username="alice", email="nonsense").full_clean(exclude=["password"])
    assert list(caught.value.message_dict) == ["email"]


@pytest.mark.parametrize("username", ["alice", "Alice", "ALICE"])
def test_logging_in_does_not_depend_on_case(rf: RequestFactory, username: str) -> None:
    user = User.objects.create_user("Alice", password="password")
    request = rf.post("/login/")
    assert authenticate(request, username=username, password="password") == user
    backend = ModelBackend()
    found = async_to_sync(backend.aauthenticate)(request, username=username, password="password")
    assert found == user


def test_looking_a_name_up_uses_the_index() -> None:
    User.objects.bulk_create([User(username=f"user{number}") for number in range(2_000)])
    execute("ANALYZE users")
    with connection.execute_wrapper(plan := Plan()):
        User.objects.get_by_natural_key("USER7")
    assert "users_username_lower_key" in plan.text


class Plan:
    """Collects the plans of the queries that run under it."""

    text = ""

    def __call__(
        self, execute: Callable[..., object], sql: str, params: object, many: bool, context: object
    ) -> object:
        with connection.cursor().cursor as cursor:
            cursor.execute(f"EXPLAIN {sql}", params)
            self.text += "\n".join(row[0] for row in cursor.fetchall())
        return execute(sql, params, many, context)


@pytest.mark.parametrize(
    ("name", "email", "message"),
    [
        ("ALICE", "", "already taken"),
        ("bob", "ALICE@EXAMPLE.ORG", "e-mail address already exists"),
        ("x" * 151, "", "at most 150 characters"),
        ("bob", "nonsense", "valid email address"),
        ("two words", "", "valid username"),
        ("b\0b", "", "cannot be stored"),
        ("bob", "b\0b@example.org", "valid email address"),
        ("b\ud800b", "", "cannot be stored"),
    ],
)
def test_createsuperuser_says_in_a_line_what_does_not_fit(
    name: str, email: str, message: str
) -> None:
    User.objects.create_user("alice", "alice@example.org")
    with pytest.raises(CommandError, match=message), transaction.atomic():
        call_command("createsuperuser", "--noinput", f"--username={name}", f"--email={email}")
    assert User.objects.count() == 1


def test_createsuperuser_does_not_hide_another_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise IntegrityError("something else")

    monkeypatch.setattr(User, "save", fail)
    with pytest.raises(IntegrityError, match="something else"):
        call_command("createsuperuser", "--noinput", "--username=bob", "--email=b@example.org")


@pytest.mark.django_db(transaction=True)
def test_of_many_who_take_a_name_one_gets_it_and_all_are_told(
    in_threads: Callable[..., list[BaseException | None]], administrator: User
) -> None:
    answers: list[tuple[int, str]] = []

    def take(name: str) -> None:
        from django.test import Client

        client = Client()
        client.force_login(administrator)
        response = client.post("/users/new/", {"username": name, "usable_password": "false"})
        answers.append((response.status_code, response.content.decode()))

    names = ["alice", "Alice", "ALICE", "aLICE", "alicE", "AliCe"]
    assert in_threads(*(lambda name=name: take(name) for name in names)) == [None] * len(names)

    assert sorted(status for status, _ in answers) == [302] + [422] * 5
    assert all(USERNAME_TAKEN in page for status, page in answers if status == 422)
    user = User.objects.exclude(pk=administrator.pk).get()
    assert Job.objects.filter(args={"user_id": user.pk}).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_name_taken_before_saving_is_an_error_on_the_page(
    as_administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = User.save

    def overtaken(user: User, *args: object, **kwargs: object) -> None:
        monkeypatch.setattr(User, "save", save)
        User.objects.create_user("ALICE")
        user.save(*args, **kwargs)  # type: ignore[arg-type]  # as given

    monkeypatch.setattr(User, "save", overtaken)
    form = {"username": "alice", "usable_password": "false"}
    response = as_administrator.post("/users/new/", form)
    assert response.status_code == 422
    assert USERNAME_TAKEN in response.content.decode()

    monkeypatch.setattr(User, "save", overtaken)
    response = as_administrator.post("/admin/accounts/user/add/", form, follow=True)
    assert response.status_code == 200
    assert OVERTAKEN in response.content.decode()
    assert not User.objects.filter(username="alice").exists()


def test_errors_about_something_else_are_not_explained_away() -> None:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        User.objects.create(username="alice", is_active=None)  # type: ignore[misc]  # on purpose
    assert User.conflict(caught.value) is None
