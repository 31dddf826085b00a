"""Who may change whose account and rights.

People grant, take away and manage what lies within their own rights, and nobody changes their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Q

from accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from django.http import HttpRequest

CHANGED_MEANWHILE = "Your own account was changed meanwhile. Nothing was saved: log in again."
BEYOND_ONES_OWN = "{} has rights that you do not have."
NOT_ONESELF = "You cannot delete your own account."


def actor_of(request: HttpRequest) -> User:
    """Return who asks, on pages that let in nobody who is not logged in."""
    return cast("User", request.user)


def grantable_permissions(actor: User) -> QuerySet[Permission]:
    """Return the permissions that the actor has, and so may give to others."""
    if actor.is_superuser:
        return Permission.objects.all()
    # Each subquery starts from the actor; one join for both would read everybody's permissions.
    own = Permission.objects.filter(user=actor)
    by_groups = Permission.objects.filter(group__user=actor)
    return Permission.objects.filter(Q(pk__in=own.values("pk")) | Q(pk__in=by_groups.values("pk")))


def grantable_groups(actor: User) -> QuerySet[Group]:
    """Return the groups that give no permission which the actor lacks."""
    return Group.objects.exclude(permissions__in=_lacking(actor))


def manageable_users(actor: User) -> QuerySet[User]:
    """Return the accounts that have no right which the actor lacks.

    Whether they are active does not matter: who manages an account could let it in again.
    """
    lacking = _lacking(actor)
    return (
        User.objects.filter(is_superuser__lte=actor.is_superuser, is_staff__lte=actor.is_staff)
        .exclude(user_permissions__in=lacking)
        .exclude(groups__permissions__in=lacking)
    )


def manageable_groups(actor: User) -> QuerySet[Group]:
    """Return the groups that the actor may change.

    Those of the actor are rights of their own, and those with a member beyond the actor are rights
    of somebody whom they do not manage.
    """
    groups = grantable_groups(actor)
    if actor.is_superuser:
        return groups
    if not actor.is_staff:
        groups = groups.exclude(user__is_staff=True)
    # Each reason apart, so that the database starts from the group or from the few who have more.
    lacking = _lacking(actor)
    return (
        groups.exclude(user=actor)
        .exclude(user__is_superuser=True)
        .exclude(user__user_permissions__in=lacking)
        .exclude(user__groups__permissions__in=lacking)
    )


def obstacle_to_changing(actor: User, account: User) -> str:
    """Return the sentence that says why the actor may not change this account, or ""."""
    if actor.is_superuser or manageable_users(actor).filter(pk=account.pk).exists():
        return ""
    return BEYOND_ONES_OWN.format(account)


def obstacle_to_deleting(actor: User, account: User) -> str:
    """Return the sentence that says why the actor may not delete this account, or ""."""
    return NOT_ONESELF if account == actor else obstacle_to_changing(actor, account)


def hold(actor: User, pks: Iterable[int]) -> dict[int, User]:
    """Lock these accounts and the actor's until the transaction ends; return them as they are now.

    Raises PermissionDenied when the actor is no longer who they were when they came. So whoever
    changes others has their own rights until the change is committed, and because nobody changes
    their own, every change by a superuser leaves one: whoever else acts at the same instant, the
    last active superuser is never lost.

    The actor's permissions may have been taken away since they were looked up: whoever holds asks
    for them again.
    """
    # Always in the same order, so that two who act on each other wait instead of blocking each
    # other for good. NO KEY does not hinder jobs that write a log of these users.
    locked = User.objects.select_for_update(no_key=True).order_by("pk")
    accounts = locked.in_bulk([actor.pk, *pks])
    now = accounts.get(actor.pk)
    if now is None or any(
        getattr(now, name) != getattr(actor, name)
        for name in ("is_active", "is_staff", "is_superuser", "password")
    ):
        raise PermissionDenied(CHANGED_MEANWHILE)
    # What Django's backend remembers. A request's user is lazy, and its __dict__ another one.
    for known in ("_perm_cache", "_user_perm_cache", "_group_perm_cache"):
        if hasattr(actor, known):
            delattr(actor, known)
    return accounts


def _lacking(actor: User) -> QuerySet[Permission]:
    return Permission.objects.exclude(pk__in=grantable_permissions(actor).values("pk"))
