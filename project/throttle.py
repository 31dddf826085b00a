"""Guessing passwords is slow: django-axes counts the failures of each name from each address.

Name and address together, so that nobody locks out others behind the same proxy, nor a user who is
somewhere else. What axes does by itself is changed in three ways:

- An attempt is counted before its password is looked at, so that many at once are not more than
  the same number one after the other.
- A pair of name and address has one row, with the number of its failures and nothing else that was
  sent: no form, no path, no browser.
- Rows that have run out are deleted a few at a time, in the order of an index.
"""

from __future__ import annotations

import ipaddress
import logging
import math
from typing import TYPE_CHECKING, Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db import connection, transaction
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.http import HttpRequest

logger = logging.getLogger(__name__)

UNKNOWN_ADDRESS = "::"
UNKNOWN_NAME = "unknown:"  # no username has a colon
DELETED_AT_ONCE = 100


def counted_address(address: str) -> str:
    """Return the address under which the attempts of a visitor are counted.

    IPv6 is handed out in networks of 2**64 addresses: the network's first stands for them all.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(found) >> 64 << 64))


def client_address(request: HttpRequest) -> str:
    return counted_address(request.META.get("REMOTE_ADDR", ""))


def counted_name(name: str) -> str:
    """Return the name under which the attempts for `name` are counted.

    That is the user's, however it was typed, or an unreadable one if there is no such user: what
    somebody has typed there may be a password.
    """
    try:
        return User.objects.get_by_natural_key(name).get_username()
    except User.DoesNotExist:
        # Python has another notion of small letters; the difference would tell who exists.
        with connection.cursor() as cursor:
            cursor.execute("SELECT lower(%s)", [name])
            (small,) = cursor.fetchone()
        digest = salted_hmac(__name__, small, algorithm="sha256")
        return UNKNOWN_NAME + digest.hexdigest()[:32]


def locked_until(attempt: Any) -> datetime | None:
    """Return when a pair may try again, or None if it may now."""
    until: datetime = attempt.attempt_time + settings.AXES_COOLOFF_TIME
    locked = attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT
    return until if locked and until > timezone.now() else None


class Throttle(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    def is_allowed(self, request: Any, credentials: Mapping[str, Any] | None = None) -> bool:
        """Count an attempt, unless its pair is locked; the backend asks once for each."""
        pair = {
            "username": counted_name((credentials or {})["username"]),
            "ip_address": request.axes_ip_address,
            "user_agent": "",
        }
        with transaction.atomic():
            attempts = AccessAttempt.objects.select_for_update()
            attempt, created = attempts.get_or_create(**pair, defaults={"failures_since_start": 0})
            request.login_attempt = attempt
            if locked_until(attempt):
                return False
            now = timezone.now()
            if attempt.attempt_time <= now - settings.AXES_COOLOFF_TIME:
                attempt.failures_since_start = 0
            attempt.failures_since_start += 1
            attempt.attempt_time = now
            attempt.save()
        if created:
            self.clean_expired_user_attempts()
        return True

    def user_login_failed(
        self, sender: Any, credentials: Any, request: Any = None, **kwargs: Any
    ) -> None:
        attempt = request.login_attempt
        if request.axes_locked_out:
            return
        request.axes_locked_out = locked_until(attempt) is not None
        logger.warning(
            "Login as %s from %s failed (%d of %d)%s",
            attempt.username,
            attempt.ip_address,
            attempt.failures_since_start,
            settings.AXES_FAILURE_LIMIT,
            ", locked" if request.axes_locked_out else "",
        )

    def user_logged_in(self, sender: Any, request: Any, user: User, **kwargs: Any) -> None:
        self.reset_attempts(username=user.get_username(), ip_address=request.axes_ip_address)
        self.clean_expired_user_attempts()

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Do nothing: nothing is kept about those who logged in."""

    def reset_attempts(
        self,
        *,
        ip_address: str | None = None,
        username: str | None = None,
        ip_or_username: bool = False,
    ) -> int:
        """Unlock, as the `axes_reset` commands do, by names and addresses as people write them."""
        count: int = super().reset_attempts(
            ip_address=ip_address and counted_address(ip_address),
            username=username and counted_name(username),
            ip_or_username=ip_or_username,
        )
        return count

    def clean_expired_user_attempts(self, request: Any = None, credentials: Any = None) -> int:
        """Delete some of the counts that have run out, the oldest first."""
        with transaction.atomic():
            expired = (
                AccessAttempt.objects.select_for_update(skip_locked=True)
                .filter(attempt_time__lte=timezone.now() - settings.AXES_COOLOFF_TIME)
                .order_by("attempt_time")
                .values_list("pk", flat=True)[:DELETED_AT_ONCE]
            )
            AccessAttempt.objects.filter(pk__in=list(expired)).delete()
        return len(expired)


def locked_page(request: Any, *_: object) -> HttpResponse:
    """Say how long to wait: the same for every name, whether there is such a user or not."""
    until = locked_until(request.login_attempt) or timezone.now()
    seconds = math.ceil((until - timezone.now()).total_seconds())
    minutes = math.ceil(seconds / 60)
    page = render_to_string("429.html", {"minutes": max(minutes, 1)})
    return HttpResponse(page, status=429, headers={"Retry-After": str(max(seconds, 1))})
