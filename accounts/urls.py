from __future__ import annotations

from django.urls import path

from accounts import views

urlpatterns = [
    path("", views.HomeView.as_view(), name="home"),
    path("users/", views.UserListView.as_view(), name="user-list"),
    path("users/new/", views.UserCreateView.as_view(), name="user-create"),
    path("users/<int:pk>/", views.UserDetailView.as_view(), name="user-detail"),
    path("users/<int:pk>/edit/", views.UserUpdateView.as_view(), name="user-update"),
    path("users/<int:pk>/password/", views.UserPasswordView.as_view(), name="user-password"),
    path("users/<int:pk>/delete/", views.UserDeleteView.as_view(), name="user-delete"),
    # A part of the user's page, fetched again while there is something to wait for.
    path("users/<int:pk>/logs/", views.UserLogsView.as_view(), name="user-logs"),
]
