"""When sessions end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.utils import timezone

if TYPE_CHECKING:
    from django.http import HttpRequest


@receiver(user_logged_in)
def end_at_a_fixed_time(request: HttpRequest, **_: Any) -> None:
    """Let a session end SESSION_COOKIE_AGE after the login.

    Without this Django would begin to count anew whenever something is stored in the session.
    """
    request.session.set_expiry(timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
