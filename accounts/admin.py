"""Users in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import IntegrityError
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from accounts.forms import UserCreationForm
from accounts.models import User
from joblogs.models import UserLog
from joblogs.progress import SHOWN_LOGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, HttpResponse


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
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
    show_full_result_count = False
    readonly_fields = ("created_at", "updated_at", "last_login", "latest_logs")

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

    def get_deleted_objects(
        self, objs: Iterable[User], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Count what goes with users; Django would list each log of what may be millions.

        Who may delete a user may have the logs deleted with it, though nobody deletes logs alone.
        """
        users = list(objs)
        refused = [user for user in users if not self.has_delete_permission(request, user)]
        counts = {
            str(User._meta.verbose_name_plural): len(users),
            str(UserLog._meta.verbose_name_plural): UserLog.objects.filter(user__in=users).count(),
            str(LogEntry._meta.verbose_name_plural): LogEntry.objects.filter(
                user__in=users
            ).count(),
        }
        names = {str(User._meta.verbose_name)} if refused else set()
        return [str(user) for user in users], counts, names, []

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError as error:
            # Somebody took the name or address since the form was checked.
            conflict = User.conflict(error)
            if conflict is None:
                raise
            messages.error(request, " ".join(conflict.messages) + " Nothing was saved.")
            return redirect(request.get_full_path())
