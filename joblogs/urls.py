from __future__ import annotations

from django.urls import path

from joblogs import views

urlpatterns = [
    path("logs/", views.UserLogListView.as_view(), name="log-list"),
]
