"""The admin belongs to the site: one page to log in, and it tells nobody what is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from accounts.models import User
from tests.project.pages import without_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model

pytestmark = pytest.mark.django_db

OBJECT_PAGES = ("change", "delete", "history")


def registered(model: type[Model]) -> str:
    return model._meta.label


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/user/?q=x&p=1", "/admin/missing/"])
def test_strangers_log_in_on_the_sites_own_page_and_come_back(client: Client, path: str) -> None:
    response = client.get(path)
    assert response["Location"].startswith("/login/?next=/admin/")
    User.objects.create_superuser("administrator", password="password")
    form = {"username": "administrator", "password": "password", "next": path}
    assert client.post(response["Location"], form)["Location"] == path


def test_the_admins_own_login_page_leads_to_the_sites(client: Client) -> None:
    assert client.get("/admin/login/")["Location"] == "/login/?next=/admin/"
    response = client.get("/admin/login/?next=/admin/accounts/user/")
    assert response["Location"] == "/login/?next=/admin/accounts/user/"


def test_it_checks_no_password(client: Client, administrator: User) -> None:
    form = {"username": "administrator", "password": "password"}
    assert client.post("/admin/login/", form)["Location"] == "/login/?next=/admin/"
    assert "_auth_user_id" not in client.session


def test_staff_who_are_logged_in_go_on_to_the_admin(as_looker: Client) -> None:
    response = as_looker.get("/admin/login/", follow=True)
    assert response.redirect_chain == [("/admin/", 302)]
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/?next=/admin/", "/admin/missing/"])
def test_others_who_are_logged_in_are_told_and_not_sent_around(
    client: Client, outsider: User, path: str
) -> None:
    client.force_login(outsider)
    response = client.get(path, follow=True)
    assert response.status_code == 403
    assert "The admin is for staff members." in response.content.decode()
    response = client.get(f"/login/?next={path}", follow=True)
    assert response.status_code == 403
    assert len(response.redirect_chain) <= 2


def test_there_is_one_page_to_change_ones_password(as_looker: Client) -> None:
    assert as_looker.get("/admin/password_change/")["Location"] == "/password/"
    assert as_looker.get("/admin/password_change/done/").status_code == 404


def test_logging_out_of_the_admin_is_logging_out(as_looker: Client) -> None:
    for _ in range(2):
        # The second time the session has ended already.
        assert as_looker.post("/admin/logout/")["Location"] == "/login/"
    assert "_auth_user_id" not in as_looker.session


def test_no_page_of_the_admin_tells_which_objects_exist(as_looker: Client, looker: User) -> None:
    content_type = ContentType.objects.get_for_model(User)
    for pk in (looker.pk, looker.pk + 1):
        assert as_looker.get(f"/admin/r/{content_type.pk}/{pk}/").status_code == 404


@pytest.mark.parametrize("page", OBJECT_PAGES)
@pytest.mark.parametrize("model", admin.site._registry, ids=registered)
def test_without_permission_a_page_does_not_tell_what_exists(
    client: Client,
    staff: Callable[..., User],
    model: type[Model],
    page: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.force_login(staff())
    model_admin = type(admin.site._registry[model])
    answers = []
    for found in (model(pk=1), None):
        monkeypatch.setattr(model_admin, "get_object", lambda *_, found=found: found)
        url = f"/admin/{model._meta.app_label}/{model._meta.model_name}/1/{page}/"
        answers.append(client.get(url))
    assert [answer.status_code for answer in answers] == [403, 403]
    assert without_token(answers[0]) == without_token(answers[1])


def test_who_may_add_only_learns_nothing_from_histories(
    client: Client, staff: Callable[..., User]
) -> None:
    client.force_login(staff("auth.add_group"))
    group = Group.objects.create(name="a group")
    for pk in (group.pk, group.pk + 1):
        assert client.get(f"/admin/auth/group/{pk}/history/").status_code == 403


def test_who_may_look_sees_histories(client: Client, staff: Callable[..., User]) -> None:
    client.force_login(staff("auth.view_group"))
    group = Group.objects.create(name="a group")
    assert client.get(f"/admin/auth/group/{group.pk}/history/").status_code == 200


def test_a_history_takes_no_notice_of_parameters(as_administrator: Client) -> None:
    group = Group.objects.create(name="a group")
    url = f"/admin/auth/group/{group.pk}/history/?x=1"
    assert as_administrator.get(url).status_code == 200


@pytest.mark.parametrize("page", ["add/", "{pk}/change/", "{pk}/delete/", ""])
def test_a_field_to_lead_to_without_a_name_is_refused(as_administrator: Client, page: str) -> None:
    group = Group.objects.create(name="a group")
    url = "/admin/auth/group/" + page.format(pk=group.pk)
    form = {"name": "another", "post": "yes", "_to_field": ""}
    assert as_administrator.post(url, form).status_code == 400
    assert as_administrator.post(f"{url}?_to_field=", form).status_code == 400
    assert list(Group.objects.all()) == [group]
    group.refresh_from_db()
    assert group.name == "a group"


FORMS = {
    "application/x-www-form-urlencoded": b"name=caf%C3%A9",
    "multipart/form-data; boundary=join": (
        '--join\r\nContent-Disposition: form-data; name="name"\r\n\r\ncafé\r\n--join--\r\n'
    ).encode(),
}


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("kind", FORMS)
def test_forms_come_in_utf_8(
    as_administrator: Client, settings: Any, kind: str, debug: bool
) -> None:
    settings.DEBUG = debug
    as_administrator.raise_request_exception = False
    url = "/admin/auth/group/add/"

    def post(charset: str) -> int:
        content_type = f"{kind}; charset={charset}"
        # Its post() would write the form anew in that character set.
        answer = as_administrator.generic("POST", url, FORMS[kind], content_type=content_type)
        return answer.status_code

    for charset in ("latin-1", "hex", "utf-16"):
        assert post(charset) == 400
        assert not Group.objects.exists()
    # Of the other kind Django takes no other spelling.
    assert post("utf8" if "multipart" in kind else "UTF-8") == 302
    assert Group.objects.get().name == "café"


ATTEMPTS = "/admin/axes/accessattempt/"


@pytest.fixture
def attempts(db: None) -> list[Any]:
    form = {"username": "nobody", "password": "wrong"}
    for _ in range(5):
        Client().post("/login/", form, REMOTE_ADDR="2001:db8::1")
    user = User.objects.create_user("alice", password="password")
    Client().post("/login/", form | {"username": "alice"}, REMOTE_ADDR="192.0.2.1")
    Client().post("/login/", form | {"username": user.username}, REMOTE_ADDR="")
    return list(AccessAttempt.objects.order_by("pk"))


def test_failed_logins_are_listed_without_what_was_typed(
    client: Client, staff: Callable[..., User], attempts: list[Any]
) -> None:
    client.force_login(staff("axes.view_accessattempt"))
    page = client.get(ATTEMPTS).content.decode()
    for text in ("alice", "(no such user)", "192.0.2.1", "2001:db8::/64", "(unknown)"):
        assert text in page
    assert "nobody" not in page
    assert "unknown:" not in page
    assert "alice" not in client.get(f"{ATTEMPTS}?q=2001").content.decode()
    assert client.get(f"{ATTEMPTS}?username__startswith=a").status_code == 400


@pytest.mark.parametrize("page", ["change", "history"])
def test_one_of_them_is_shown_and_cannot_be_changed(
    as_administrator: Client, attempts: list[Any], page: str
) -> None:
    url = f"{ATTEMPTS}{attempts[0].pk}/{page}/"
    assert as_administrator.get(url).status_code == 200
    assert as_administrator.post(url).status_code == (403 if page == "change" else 200)
    assert as_administrator.get(f"{ATTEMPTS}add/").status_code == 403


def unlock(client: Client, attempts: list[Any]) -> None:
    selected = [attempt.pk for attempt in attempts]
    client.post(ATTEMPTS, {"action": "unlock", "_selected_action": selected})


def test_unlocking_takes_the_permission_to_delete_and_is_on_record(
    client: Client, staff: Callable[..., User], attempts: list[Any]
) -> None:
    client.force_login(staff("axes.view_accessattempt"))
    unlock(client, attempts)
    assert AccessAttempt.objects.count() == len(attempts)
    helpful = staff("axes.view_accessattempt", "axes.delete_accessattempt", username="helpful")
    client.force_login(helpful)
    unlock(client, attempts[:1])
    assert list(AccessAttempt.objects.order_by("pk")) == attempts[1:]
    entry = LogEntry.objects.get()
    assert (entry.user, entry.action_flag) == (helpful, DELETION)
    assert "nobody" not in entry.object_repr
