"""Users' logs in the admin, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from joblogs.models import UserLog

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(UserLog)
class UserLogAdmin(admin.ModelAdmin[UserLog]):
    list_display = ("id", "user", "job_id", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username__lower",)
    search_help_text = "Username"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UserLog | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UserLog | None = None) -> bool:
        return False
