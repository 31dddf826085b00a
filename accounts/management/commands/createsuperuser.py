"""Django's createsuperuser, with one line instead of a traceback for values that do not fit."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management import CommandError
from django.db import DataError, IntegrityError

from accounts.models import User


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().handle(*args, **options)
        except IntegrityError as error:
            conflict = User.conflict(error)
            if conflict is None:
                raise
            raise CommandError(" ".join(conflict.messages)) from None
        except (DataError, ValueError) as error:
            # Characters that PostgreSQL cannot store.
            raise CommandError(f"A value cannot be stored: {error}") from None
