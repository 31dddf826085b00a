"""Who may see a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.mixins import AccessMixin
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class StaffPermissionMixin(AccessMixin):
    """Let in staff who have all of `permissions_required`; say to others what is missing.

    People who are not logged in get the login page, everybody else a 403 page.
    """

    permissions_required: tuple[str, ...]  # each "app_label.codename"
    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        missing = self._what_is_missing(request)
        if missing and request.headers.get("HX-Request"):
            # A part of a page whose session or permission has ended: let the whole page load again,
            # which then says so, instead of showing a login form inside it.
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        if missing:
            raise PermissionDenied(missing)
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # the view's
        return response

    def _what_is_missing(self, request: HttpRequest) -> str:
        if not (request.user.is_authenticated and request.user.is_staff):
            return "This page is for staff members."
        for permission in self.permissions_required:
            if not request.user.has_perm(permission):
                return missing_permission(permission)
        return ""


def missing_permission(name: str) -> str:
    """Return the sentence that says which permission a page needs."""
    app_label, codename = name.split(".")
    permission = Permission.objects.filter(
        content_type__app_label=app_label, codename=codename
    ).first()
    label = f"“{permission.name}” ({name})" if permission else name
    return f"You need the permission {label} for this page."
