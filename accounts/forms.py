"""Forms of the user pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib.auth.forms import (
    AdminPasswordChangeForm,
    AdminUserCreationForm,
    PasswordChangeForm,
    UsernameField,
)
from django.db import transaction
from django.db.models import F, Q

from accounts import rights
from accounts.models import User

if TYPE_CHECKING:
    from django.db.models import QuerySet


class UserCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]  # at run time it cannot be subscripted
    """A new user, with a password or without a usable one."""

    class Meta:
        model = User
        fields = ("username", "email", "first_name", "last_name")
        field_classes = {"username": UsernameField}

    def clean_username(self) -> str:
        # Django compares in a way that reads the whole table; the model's constraint, which is
        # validated next, uses its index.
        username: str = self.cleaned_data["username"]
        return username


class UserUpdateForm(forms.ModelForm[User]):
    class Meta:
        model = User
        fields = ("username", "email", "first_name", "last_name", "is_active")
        field_classes = {"username": UsernameField}

    def __init__(self, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance == actor:
            # What is posted for a disabled field is ignored.
            self.fields["is_active"].disabled = True
            self.fields["is_active"].help_text = "You cannot deactivate your own account."


class UserPasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]  # at run time it cannot be subscripted
    """A new password for a user, or none that can be used."""

    def __init__(self, *args: Any, instance: User, **kwargs: Any) -> None:
        super().__init__(instance, *args, **kwargs)


class OwnPasswordForm(PasswordChangeForm):
    """A new password for oneself, by who knows the present one."""

    def save(self, commit: bool = True) -> User:
        """Save the password, and nothing else.

        Raises PermissionDenied when the account is not as it was when the present password was
        checked: who knows an old one undoes no reset by an administrator.
        """
        with transaction.atomic():
            # Before the new one is set: this compares the one that was checked.
            rights.hold(self.user, [])
            user: User = super().save(commit=False)
            user.save(update_fields=["password", "updated_at"])
        return user


class Column(NamedTuple):
    """A column of the user list: its heading, and what clicking on it sorts by."""

    name: str
    label: str
    sort: str
    direction: str  # "ascending", "descending", or "" when the list is sorted otherwise


class UserSearchForm(forms.Form):
    """Search and order of the user list."""

    COLUMNS = {
        "username": "Username",
        "email": "E-mail",
        "created_at": "Created",
        "last_login": "Last login",
    }
    NEWEST_FIRST = {"created_at", "last_login"}
    DEFAULT_SORT = "-created_at"

    q = forms.CharField(
        label="Search",
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    sort = forms.ChoiceField(
        required=False,
        choices=[(prefix + name, prefix + name) for name in COLUMNS for prefix in ("", "-")],
        widget=forms.HiddenInput,
    )

    def search(self, users: QuerySet[User]) -> QuerySet[User]:
        """Return the matching users in order; none when the form is not valid."""
        if not self.is_valid():
            return users.none()
        for word in self.cleaned_data["q"].split():
            users = users.filter(
                Q(username__icontains=word)
                | Q(email__icontains=word)
                | Q(first_name__icontains=word)
                | Q(last_name__icontains=word)
            )
        name = self.order.removeprefix("-")
        if self.order == name:
            return users.order_by(name, "id")
        # Users who never logged in come last either way. Only where it is needed: an index in
        # descending order has its nulls first.
        nulls_last = True if User._meta.get_field(name).null else None
        return users.order_by(F(name).desc(nulls_last=nulls_last), "-id")

    @property
    def order(self) -> str:
        cleaned: dict[str, Any] = getattr(self, "cleaned_data", {})
        return cleaned.get("sort") or self.DEFAULT_SORT

    @property
    def columns(self) -> list[Column]:
        return [self._column(name, label) for name, label in self.COLUMNS.items()]

    def _column(self, name: str, label: str) -> Column:
        if self.order == name:
            return Column(name, label, f"-{name}", "ascending")
        if self.order == f"-{name}":
            return Column(name, label, name, "descending")
        return Column(name, label, f"-{name}" if name in self.NEWEST_FIRST else name, "")
