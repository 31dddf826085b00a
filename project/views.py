"""The login page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import views as auth_views
from django.core.exceptions import PermissionDenied
from django.db import transaction

from accounts import rights

if TYPE_CHECKING:
    from django.contrib.auth.forms import AuthenticationForm
    from django.http import HttpRequest, HttpResponse


class LoginView(auth_views.LoginView):
    redirect_authenticated_user = True

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Return where `next` leads; "" if back to this page, which Django would call an error."""
        url = super().get_redirect_url()
        return "" if url == self.request.path else url

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Log in, unless the account was deleted or changed since its password was looked at."""
        try:
            with transaction.atomic():
                rights.hold(form.get_user(), [])
                return super().form_valid(form)
        except PermissionDenied:
            form.add_error(None, form.get_invalid_login_error())
            return self.form_invalid(form)
