"""Users and their logs in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError

from accounts.models import User
from joblogs.models import UserLog
from tests.jobs import jobs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def test_users_are_listed_and_found(as_administrator: Client, alice: User) -> None:
    page = as_administrator.get("/admin/accounts/user/?q=ali").content.decode()
    assert f"/admin/accounts/user/{alice.pk}/change/" in page
    assert "1 user" in page


@pytest.mark.parametrize("page", ["accounts/user", "auth/group"])
def test_no_choice_of_a_filter_is_counted(as_administrator: Client, page: str) -> None:
    assert "_facets" not in as_administrator.get(f"/admin/{page}/").content.decode()
    assert as_administrator.get(f"/admin/{page}/?_facets=True").status_code == 400


def test_a_user_is_shown_with_the_latest_logs(as_administrator: Client, alice: User) -> None:
    url = f"/admin/accounts/user/{alice.pk}/change/"
    assert "No logs yet." in as_administrator.get(url).content.decode()
    for job_id in range(101, 113):
        UserLog.objects.write(user_id=alice.pk, job_id=job_id)
    page = as_administrator.get(url).content.decode()
    assert page.count("(job 1") == 10
    assert f"/admin/joblogs/userlog/?user__id__exact={alice.pk}" in page


def test_a_user_is_added_with_an_address(as_administrator: Client) -> None:
    form = {"username": "bob", "email": "bob@example.org", "usable_password": "false"}
    as_administrator.post("/admin/accounts/user/add/", form)
    assert User.objects.get(username="bob").email == "bob@example.org"


def test_logs_are_not_shown_to_those_who_may_not_see_them(
    client: Client, staff: Callable[..., User], alice: User
) -> None:
    UserLog.objects.write(user_id=alice.pk, job_id=101)
    client.force_login(staff("accounts.view_user"))
    page = client.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()
    assert "Latest logs" not in page
    assert "(job 101)" not in page


def test_the_logs_of_one_user_are_listed(as_looker: Client, alice: User, looker: User) -> None:
    UserLog.objects.write(user_id=alice.pk, job_id=101)
    UserLog.objects.write(user_id=looker.pk, job_id=102)
    response = as_looker.get(f"/admin/joblogs/userlog/?user__id__exact={alice.pk}")
    assert [log.job_id for log in response.context["cl"].result_list] == [101]
    response = as_looker.get("/admin/joblogs/userlog/?q=LOOKER")
    assert [log.job_id for log in response.context["cl"].result_list] == [102]


def test_nobody_adds_changes_or_deletes_logs(as_administrator: Client, alice: User) -> None:
    UserLog.objects.write(user_id=alice.pk)
    log = UserLog.objects.get()
    for page in ("add/", f"{log.pk}/delete/"):
        assert as_administrator.get(f"/admin/joblogs/userlog/{page}").status_code == 403
    url = f"/admin/joblogs/userlog/{log.pk}/change/"
    assert as_administrator.get(url).status_code == 200
    assert as_administrator.post(url, {"job_id": "7"}).status_code == 403
    assert UserLog.objects.get().job_id is None


def test_users_are_deleted_with_logs_though_logs_alone_are_not(
    as_administrator: Client, alice: User
) -> None:
    bob = User.objects.create_user("bob")
    for user in (alice, bob, alice):
        UserLog.objects.write(user_id=user.pk)
    page = as_administrator.get(f"/admin/accounts/user/{alice.pk}/delete/").content.decode()
    assert "User logs: 2" in page
    as_administrator.post(f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"})
    form = {"action": "delete_selected", "_selected_action": [bob.pk], "post": "yes"}
    as_administrator.post("/admin/accounts/user/", form)
    assert not User.objects.filter(pk=bob.pk).exists()
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not UserLog.objects.exists()


def test_who_may_not_delete_users_cannot_by_an_action(as_looker: Client, alice: User) -> None:
    form = {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"}
    as_looker.post("/admin/accounts/user/", form)
    assert as_looker.post(f"/admin/accounts/user/{alice.pk}/delete/").status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


def test_a_user_is_changed(as_administrator: Client, alice: User) -> None:
    form = {
        "username": "alicia",
        "email": "alicia@example.org",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "12:00",
    }
    response = as_administrator.post(f"/admin/accounts/user/{alice.pk}/change/", form)
    assert response.status_code == 302
    alice.refresh_from_db()
    assert alice.username == "alicia"
    assert len(jobs_of(alice.pk)) == 1


@pytest.mark.parametrize("values", [{"username": "LOOKER"}, {"username": "a\0b"}])
def test_a_change_that_does_not_fit_is_explained(
    as_administrator: Client, alice: User, looker: User, values: dict[str, str]
) -> None:
    response = as_administrator.post(f"/admin/accounts/user/{alice.pk}/change/", values)
    assert response.status_code == 200
    assert "username" in response.context["adminform"].form.errors
    alice.refresh_from_db()
    assert alice.username == "alice"


@pytest.mark.parametrize("url", ["/users/new/", "/admin/accounts/user/add/"])
def test_an_error_about_something_else_is_not_hidden(
    as_administrator: Client, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise IntegrityError("something else")

    monkeypatch.setattr(User, "save", fail)
    with pytest.raises(IntegrityError, match="something else"):
        as_administrator.post(url, {"username": "bob", "usable_password": "false"})
