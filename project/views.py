"""The login page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import views as auth_views

if TYPE_CHECKING:
    from django.http import HttpRequest


class LoginView(auth_views.LoginView):
    redirect_authenticated_user = True

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Return where `next` leads; "" if back to this page, which Django would call an error."""
        url = super().get_redirect_url()
        return "" if url == self.request.path else url
