"""One's own password is changed by who knows the present one, also when it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.forms import PasswordChangeForm

from accounts import rights
from accounts.models import User
from tests.meanwhile import logged_in, meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

FORM = {
    "old_password": "password",
    "new_password1": "correct horse battery",
    "new_password2": "correct horse battery",
}


def reset(account: User) -> None:
    account.set_password("given by an administrator")
    account.save()


CHANGES: dict[str, Callable[[User], object]] = {
    "given another password": reset,
    "demoted": lambda account: User.objects.filter(pk=account.pk).update(is_superuser=False),
    "deactivated": lambda account: User.objects.filter(pk=account.pk).update(is_active=False),
    "deleted": lambda account: account.delete(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_who_is_changed_while_they_wait_has_no_new_password(
    administrator: User, change: str
) -> None:
    client, account = logged_in(administrator), User.objects.get(pk=administrator.pk)
    answer = meanwhile(
        lambda: client.post("/password/", FORM), lambda: CHANGES[change](account), administrator
    )
    assert answer.status_code == 403
    assert rights.CHANGED_MEANWHILE in answer.content.decode()
    now = User.objects.filter(pk=administrator.pk).first()
    assert now is None or (now.password, now.is_superuser, now.is_active) == (
        account.password,
        change != "demoted",
        change != "deactivated",
    )


def test_an_old_password_that_was_right_undoes_no_reset(
    administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = PasswordChangeForm.clean_old_password

    def overtaken(form: PasswordChangeForm) -> str:
        checked = check(form)
        reset(User.objects.get(pk=administrator.pk))
        return checked

    monkeypatch.setattr(PasswordChangeForm, "clean_old_password", overtaken)
    assert logged_in(administrator).post("/password/", FORM).status_code == 403
    administrator.refresh_from_db()
    assert administrator.check_password("given by an administrator")


def test_who_changes_their_password_stays_logged_in(administrator: User) -> None:
    client = logged_in(administrator)
    assert client.post("/password/", FORM)["Location"] == "/password/done/"
    assert client.get("/password/done/").status_code == 200
    administrator.refresh_from_db()
    assert administrator.check_password("correct horse battery")
