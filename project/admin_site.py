"""The admin as a part of this site: with the site's own pages to log in, and its own refusals."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import LogoutView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.generic import RedirectView

from project import admin_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from django.urls import URLPattern, URLResolver

View = TypeVar("View", bound="Callable[..., HttpResponseBase]")

REPLACED = {"logout", "password_change", "password_change_done"}
# It would tell any staff member which objects exist.
REFUSED = {"view_on_site"}


class AdminSite(admin.AdminSite):
    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("logout/", LogoutView.as_view(), name="logout"),
            path(
                "password_change/",
                RedirectView.as_view(pattern_name="password-change"),
                name="password_change",
            ),
            *(
                pattern
                for pattern in super().get_urls()
                if getattr(pattern, "name", None) not in REPLACED | REFUSED
            ),
        ]

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the site's login page, which then leads back."""
        index = reverse("admin:index", current_app=self.name)
        if request.user.is_authenticated:
            return redirect(index)
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME, index))

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        admitted = super().admin_view(view, cacheable)

        @wraps(admitted)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not self.has_permission(request):
                raise PermissionDenied("The admin is for staff members.")
            model_admin = getattr(view, "__self__", None)
            if isinstance(model_admin, admin.ModelAdmin):
                _refuse_history(model_admin, view.__name__, request)
                admin_input.check_list(model_admin, view.__name__, request)
            admin_input.check(request)
            return admitted(request, *args, **kwargs)

        return inner  # type: ignore[return-value]  # wraps() makes it look like the view


def _refuse_history(
    model_admin: admin.ModelAdmin[Any], view_name: str, request: HttpRequest
) -> None:
    """Raise PermissionDenied for histories of what one may not see.

    Django looks for the object first, and so tells everybody in the staff whether it exists.
    """
    if view_name == "history_view" and not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
