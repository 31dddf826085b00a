"""Who: the users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models, router, transaction
from django.db.models.functions import Lower, Now
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.urls import reverse

from accounts.managers import UserManager
from joblogs.tasks import create_user_log

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db import IntegrityError

USERNAME_TAKEN = "A user with that username already exists."
EMAIL_TAKEN = "A user with that e-mail address already exists."


class User(AbstractUser):
    """A user. However the ORM creates one, the row and its job commit together or not at all."""

    email = models.EmailField("e-mail address", blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        db_table = "users"
        # Related managers and other library code create users through this manager, too.
        base_manager_name = "objects"
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="users_username_lower_key",
                violation_error_code="username",
                violation_error_message=USERNAME_TAKEN,
            ),
            models.UniqueConstraint(
                Lower("email"),
                name="users_email_lower_key",
                condition=~models.Q(email=""),
                violation_error_code="email",
                violation_error_message=EMAIL_TAKEN,
            ),
        ]
        indexes = [
            # The list's default order.
            models.Index(fields=["-created_at", "-id"], name="users_newest_idx"),
        ]

    def get_absolute_url(self) -> str:
        return reverse("user-detail", args=[self.pk])

    def save(self, *args: Any, using: str | None = None, **kwargs: Any) -> None:
        """Save in one transaction with what `post_save` does: deferring a new user's job."""
        using = using or router.db_for_write(type(self), instance=self)
        # Like Django's own save() without a savepoint, which would cost two statements more: when
        # this fails inside the caller's transaction, that transaction rolls back.
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, using=using, **kwargs)

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Report a taken name or address beside its field, not above the form."""
        try:
            super().validate_constraints(exclude)
        except ValidationError as error:
            by_field: dict[str, list[ValidationError]] = {}
            for field, problems in error.error_dict.items():
                for problem in problems:
                    named = problem.code if field == NON_FIELD_ERRORS else field
                    by_field.setdefault(str(named), []).append(problem)
            raise ValidationError(by_field) from None

    @staticmethod
    def conflict(error: IntegrityError) -> ValidationError | None:
        """Explain an error that is about a name or address taken at the same moment, else None."""
        diagnostics = getattr(error.__cause__, "diag", None)
        match getattr(diagnostics, "constraint_name", None):
            case "users_username_lower_key" | "users_username_key":
                return ValidationError({"username": USERNAME_TAKEN})
            case "users_email_lower_key":
                return ValidationError({"email": EMAIL_TAKEN})
        return None


User._meta.get_field("username").register_lookup(Lower)


@receiver(post_save, dispatch_uid="defer_user_log")
def defer_user_log(instance: models.Model, created: bool, raw: bool, **_: Any) -> None:
    """Defer the job that writes a new user's log.

    Proxies of User send the signal as well. Fixtures (raw) and the historical models of
    migrations restore what was there: they defer nothing.
    """
    if created and not raw and isinstance(instance, User):
        create_user_log.defer(user_id=instance.pk)
