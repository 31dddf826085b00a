"""The project's own app, and the two that it sets up in its own way."""

from __future__ import annotations

from axes.apps import AppConfig as AxesConfig
from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class ProjectConfig(AppConfig):
    name = "project"

    def ready(self) -> None:
        from project import sessions  # noqa: F401  # connects its receivers


class AdminConfig(DjangoAdminConfig):
    default_site = "project.admin_site.AdminSite"


class LoginsConfig(AxesConfig):  # type: ignore[misc]  # axes has no types
    verbose_name = "Logins"
