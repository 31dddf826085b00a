"""All pages of the site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path, reverse_lazy

from accounts.forms import OwnPasswordForm
from project.views import LoginView

urlpatterns = [
    path("", include("accounts.urls")),
    path("", include("joblogs.urls")),
    # One's own account
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path(
        "password/",
        auth_views.PasswordChangeView.as_view(
            form_class=OwnPasswordForm, success_url=reverse_lazy("password-change-done")
        ),
        name="password-change",
    ),
    path(
        "password/done/",
        auth_views.PasswordChangeDoneView.as_view(),
        name="password-change-done",
    ),
    path("admin/", admin.site.urls),
]

handler500 = "project.errors.server_error"
