"""Ways to create and find users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import NotSupportedError, models, transaction
from django.db.models import Value
from django.db.models.functions import Lower

from joblogs.tasks import create_user_log

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from procrastinate.types import JSONDict

    from accounts.models import User

JOBS_PER_STATEMENT = 1_000


class UserQuerySet(models.QuerySet["User"]):
    def bulk_create(
        self,
        objs: Iterable[User],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[User]:
        """Create users and defer one job for each, all in one transaction.

        Raises NotSupportedError when conflicts are to be ignored or updated: the database does
        not tell then which rows are new, so the jobs to defer are not known.
        """
        if ignore_conflicts or update_conflicts:
            raise NotSupportedError(
                "User.objects.bulk_create() takes neither ignore_conflicts nor update_conflicts: "
                "it could not tell which users are new and need a job. Filter the users first, "
                "or use get_or_create() or update_or_create() for each."
            )
        with transaction.atomic(using=self.db, savepoint=False):
            users = super().bulk_create(objs, batch_size)
            for start in range(0, len(users), JOBS_PER_STATEMENT):
                chunk = users[start : start + JOBS_PER_STATEMENT]
                arguments: list[JSONDict] = [{"user_id": user.pk} for user in chunk]
                create_user_log.batch_defer(*arguments)
        return users


class UserManager(DjangoUserManager["User"]):
    # Historical models in migrations get Django's plain manager, which defers nothing.
    use_in_migrations = False

    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def get_by_natural_key(self, username: str | None) -> User:
        """Return the user of this name whatever its case; logging in goes through here."""
        return self.get(username__lower=Lower(Value(username)))

    async def aget_by_natural_key(self, username: str | None) -> User:
        """Return the user of this name whatever its case."""
        return await self.aget(username__lower=Lower(Value(username)))
