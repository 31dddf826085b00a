"""Users in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import transaction
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from accounts import rights
from accounts.admin.within_rights import WithinRightsAdmin
from accounts.forms import UserCreationForm
from accounts.models import User
from joblogs.models import UserLog
from joblogs.progress import SHOWN_LOGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


@admin.register(User)
class UserAdmin(WithinRightsAdmin[User], DjangoUserAdmin[User]):
    add_form = UserCreationForm
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": (
                    *UserCreationForm.Meta.fields,
                    "usable_password",
                    "password1",
                    "password2",
                ),
            },
        ),
    )
    list_display = ("username", "email", "first_name", "last_name", "is_staff", "created_at")
    ordering = ("-created_at", "-id")
    readonly_fields = ("created_at", "updated_at", "last_login", "latest_logs")
    permissions_field = "user_permissions"

    def view_on_site(self, user: User) -> str:
        return user.get_absolute_url()

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        fields = ["created_at", "updated_at"]
        if request.user.has_perm("joblogs.view_userlog"):
            fields.append("latest_logs")
        return [*fieldsets, ("History", {"fields": fields})]

    @admin.display(description="Latest logs")
    def latest_logs(self, user: User) -> str:
        logs = user.logs.all()[:SHOWN_LOGS]
        if not logs:
            return "No logs yet."
        rows = format_html_join(
            "", "<li>{} (job {})</li>", ((log.created_at, log.job_id or "-") for log in logs)
        )
        everything = reverse("admin:joblogs_userlog_changelist") + f"?user__id__exact={user.pk}"
        return format_html('<ul>{}</ul><a href="{}">All logs of this user</a>', rows, everything)

    def manageable(self, actor: User) -> QuerySet[User]:
        return rights.manageable_users(actor)

    def hold(self, actor: User, pks: list[int]) -> dict[int, User]:
        return rights.hold(actor, pks)

    def obstacle(self, user: User) -> str:
        return rights.BEYOND_ONES_OWN.format(user)

    def what_goes_along(self, users: list[User]) -> dict[str, int]:
        """Who may delete a user may have the logs deleted, though nobody deletes logs alone."""
        return {
            str(model._meta.verbose_name_plural): model._default_manager.filter(
                user__in=users
            ).count()
            for model in (UserLog, LogEntry)
        }

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and obj != request.user

    def get_deleted_objects(
        self, objs: Sequence[User] | QuerySet[User], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        users = list(objs)
        names, counts, obstacles, protected = super().get_deleted_objects(users, request)
        if request.user in users:
            obstacles.add(rights.NOT_ONESELF)
        return names, counts, obstacles, protected

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if obj == request.user:
            return [*fields, *RIGHTS]
        return fields if rights.actor_of(request).is_superuser else [*fields, "is_superuser"]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # Whoever may change an account has all that it has: nothing it has is missing here.
        if db_field.name == "groups":
            kwargs["queryset"] = rights.grantable_groups(rights.actor_of(request))
        elif db_field.name == "user_permissions":
            kwargs["queryset"] = rights.grantable_permissions(rights.actor_of(request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002  # Django's URL pattern passes it by this name
        form_url: str = "",
    ) -> HttpResponse:
        with transaction.atomic():
            if self.get_object(request, unquote(id)) == request.user:
                # One's own is changed by who knows the present one, and cannot be taken away.
                return redirect("password-change")
            return super().user_change_password(request, id, form_url)
