"""Users' logs in the admin, read-only."""

from __future__ import annotations

from django.contrib import admin

from joblogs.admin.read_only import ReadOnlyMixin
from joblogs.models import UserLog


@admin.register(UserLog)
class UserLogAdmin(ReadOnlyMixin, admin.ModelAdmin[UserLog]):
    list_display = ("id", "user", "job_id", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__username__lower",)
    search_help_text = "Username"
    other_parameters = ("user__id__exact",)  # from the page of a user
