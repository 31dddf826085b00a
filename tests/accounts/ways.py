"""What staff may do to an account or to a group: the address, and what is posted there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.auth.models import Group
    from django.test import Client

    from accounts.models import User

ADMIN_FORM = {"is_active": "on", "is_staff": "on", "is_superuser": "on"} | {
    "date_joined_0": "2026-01-01",
    "date_joined_1": "12:00",
}

TO_AN_ACCOUNT: dict[str, tuple[str, dict[str, str]]] = {
    "delete": ("/users/{pk}/delete/", {}),
    "deactivate": ("/users/{pk}/edit/", {"username": "{name}"}),
    "take the password": ("/users/{pk}/password/", {"usable_password": "false"}),
    "delete in the admin": ("/admin/accounts/user/{pk}/delete/", {"post": "yes"}),
    "delete by the action": (
        "/admin/accounts/user/",
        {"action": "delete_selected", "_selected_action": "{pk}", "post": "yes"},
    ),
    "demote in the admin": (
        "/admin/accounts/user/{pk}/change/",
        {"username": "{name}"} | ADMIN_FORM | {"is_superuser": ""},
    ),
    "deactivate in the admin": (
        "/admin/accounts/user/{pk}/change/",
        {"username": "{name}"} | ADMIN_FORM | {"is_active": ""},
    ),
    "take the password in the admin": (
        "/admin/accounts/user/{pk}/password/",
        {"usable_password": "false", "unset-password": "1"},
    ),
}

TO_A_GROUP = {
    "change/": {"name": "mine"},
    "delete/": {"post": "yes"},
    "": {"action": "delete_selected", "post": "yes"},
}


def act_on_account(client: Client, way: str, account: User) -> Any:
    url, form = TO_AN_ACCOUNT[way]
    values = {"pk": account.pk, "name": account.username}
    return client.post(
        url.format(**values), {key: text.format(**values) for key, text in form.items()}
    )


def act_on_group(client: Client, way: str, group: Group) -> object:
    url = f"/admin/auth/group/{group.pk}/{way}" if way else "/admin/auth/group/"
    return client.post(url, TO_A_GROUP[way] | {"_selected_action": str(group.pk)})
