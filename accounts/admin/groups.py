"""Groups in the admin: they give rights too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group

from accounts import rights
from accounts.admin.within_rights import WithinRightsAdmin
from accounts.models import User

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(WithinRightsAdmin[Group], DjangoGroupAdmin):
    permissions_field = "permissions"

    def manageable(self, actor: User) -> QuerySet[Group]:
        return rights.manageable_groups(actor)

    def hold(self, actor: User, pks: list[int]) -> dict[int, Group]:
        rights.hold(actor, [])
        return Group.objects.select_for_update(no_key=True).order_by("pk").in_bulk(pks)

    def obstacle(self, group: Group) -> str:
        return (
            f"{group} is a group of yours, gives rights that you do not have,"
            " or has a member who has such rights."
        )

    def what_goes_along(self, groups: list[Group]) -> dict[str, int]:
        memberships = User.groups.through._default_manager.filter(group__in=groups)
        return {"memberships": memberships.count()}

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if request and db_field.name == "permissions":
            kwargs["queryset"] = rights.grantable_permissions(rights.actor_of(request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)
