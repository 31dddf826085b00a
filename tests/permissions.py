"""Permissions by their names."""

from __future__ import annotations

from django.contrib.auth.models import Permission


def permission(name: str) -> Permission:
    """Return one: permission("accounts.view_user")."""
    [found] = permissions(name)
    return found


def permissions(*names: str) -> list[Permission]:
    """Return many, in one query."""
    every = Permission.objects.select_related("content_type")
    known = {f"{each.content_type.app_label}.{each.codename}": each for each in every}
    return [known[name] for name in names]
