"""The filter of the log list."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth import get_user_model
from django.utils import timezone

from joblogs.keyset import Position

if TYPE_CHECKING:
    from datetime import date

    from django.contrib.auth.models import AbstractBaseUser
    from django.db.models import QuerySet

    from joblogs.models import UserLog


class PositionField(forms.CharField):
    """Where a page starts, as its neighbour's link says."""

    widget = forms.HiddenInput

    def clean(self, value: Any) -> Position | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return Position.parse(text)
        except (ValueError, OverflowError):
            raise forms.ValidationError("This page does not exist.") from None


class UserLogFilterForm(forms.Form):
    user = forms.CharField(label="Username", required=False, max_length=150)
    since = forms.DateField(
        label="From", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label="To", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    older = PositionField(required=False)
    newer = PositionField(required=False)

    def clean_user(self) -> AbstractBaseUser | None:
        name = self.cleaned_data["user"]
        if not name:
            return None
        users = get_user_model()
        try:
            return users._default_manager.get_by_natural_key(name)
        except users.DoesNotExist:
            raise forms.ValidationError(f"There is no user “{name}”.") from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", "The last day is before the first one.")
        return cleaned

    def filter(self, logs: QuerySet[UserLog]) -> QuerySet[UserLog]:
        """Return the matching logs; none when the form is not valid."""
        if not self.is_valid():
            return logs.none()
        if user := self.cleaned_data["user"]:
            logs = logs.filter(user=user)
        if since := self.cleaned_data["since"]:
            logs = logs.filter(created_at__gte=_moment(since, time.min))
        if until := self.cleaned_data["until"]:
            logs = logs.filter(created_at__lte=_moment(until, time.max))
        return logs


def _moment(day: date, clock: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, clock))
