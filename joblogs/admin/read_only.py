"""What people may look at, and change only by its own verbs if at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.formats import date_format

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest


def exact(moment: datetime | None) -> str | None:
    """Return a time to the second, and in which zone it is."""
    if moment is None:
        return None
    return date_format(timezone.localtime(moment), "Y-m-d H:i:s e")


class ReadOnlyMixin:
    """For a ModelAdmin whose pages show rows and offer no form."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
