"""Failed logins in the admin, where they are unlocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.models import AccessAttempt
from django.contrib import admin, messages

from project.throttle import UNKNOWN_ADDRESS, UNKNOWN_NAME, locked_until

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest


@admin.register(AccessAttempt)
class AccessAttemptAdmin(admin.ModelAdmin[Any]):
    """Counts of failed logins: to look at, and to delete, which unlocks."""

    list_display = ("name", "address", "failures_since_start", "attempt_time", "locked_until")
    list_display_links = None
    fields = readonly_fields = list_display
    ordering = ("-attempt_time",)
    search_fields = ("username", "ip_address")
    search_help_text = "Username or address"
    show_full_result_count = False
    actions = ("unlock",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Username", ordering="username")
    def name(self, attempt: Any) -> str:
        if attempt.username.startswith(UNKNOWN_NAME):
            return "(no such user)"
        return str(attempt.username)

    @admin.display(description="Address", ordering="ip_address")
    def address(self, attempt: Any) -> str:
        if attempt.ip_address == UNKNOWN_ADDRESS:
            return "(unknown)"
        return f"{attempt.ip_address}/64" if ":" in attempt.ip_address else attempt.ip_address

    @admin.display(description="Locked until")
    def locked_until(self, attempt: Any) -> datetime | None:
        return locked_until(attempt)

    @admin.action(description="Unlock the selected", permissions=["delete"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.log_deletions(request, queryset)
        count, _ = queryset.delete()
        messages.success(request, f"{count} unlocked.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        # The same under another name.
        actions.pop("delete_selected", None)
        return actions
