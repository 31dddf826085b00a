"""What people may look at, and change as far as their own rights reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, prefetch_related_objects
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe

from accounts import rights
from accounts.conflicts import explain_conflicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.forms import ModelForm
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


M = TypeVar("M", bound=Model)


class WithinRightsAdmin(admin.ModelAdmin[M]):
    """Subclasses say what lies within somebody's rights."""

    permissions_field: str
    show_full_result_count = False
    # Facets would count the whole table for each choice of each filter.
    show_facets = admin.ShowFacets.NEVER

    def manageable(self, actor: User) -> QuerySet[M]:
        raise NotImplementedError

    def hold(self, actor: User, pks: list[int]) -> dict[int, M]:
        """Lock the actor and these objects, and return those that still exist."""
        raise NotImplementedError

    def obstacle(self, obj: M) -> str:
        """Say why an object that is not manageable may not be deleted."""
        raise NotImplementedError

    def what_goes_along(self, objs: list[M]) -> dict[str, int]:
        """Count what is deleted with these objects, by its name."""
        raise NotImplementedError

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_manage(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_manage(request, obj)

    def _may_manage(self, request: HttpRequest, obj: M | None) -> bool:
        actor = rights.actor_of(request)
        if obj is None or actor.is_superuser:
            return True
        # Django asks several times a page.
        known: dict[Model, bool] = request.__dict__.setdefault("manageable", {})
        if obj not in known:
            known[obj] = self.manageable(actor).filter(pk=obj.pk).exists()
        return known[obj]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> M | None:
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        return self._hold(request, [found.pk]).get(found.pk)

    def _hold(self, request: HttpRequest, pks: list[int]) -> dict[int, M]:
        """From here on nobody else changes these, and all that is checked stays true."""
        held = self.hold(rights.actor_of(request), pks)
        request.__dict__.pop("manageable", None)
        return held

    def save_model(self, request: HttpRequest, obj: M, form: ModelForm[M], change: bool) -> None:
        if not change:
            # Whoever changes is held already. Of those who are deleted nothing can be logged.
            self._hold(request, [])
            if not self.has_add_permission(request):
                raise PermissionDenied(rights.CHANGED_MEANWHILE)
        super().save_model(request, obj, form, change)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form = context["adminform"]
        if self.permissions_field in form.readonly_fields:
            # The name of each permission names its content type.
            prefetch_related_objects(
                [form.form.instance], f"{self.permissions_field}__content_type"
            )
        return super().render_change_form(request, context, *args, **kwargs)

    changeform_view = method_decorator(explain_conflicts)(admin.ModelAdmin.changeform_view)
    delete_view = method_decorator(explain_conflicts)(admin.ModelAdmin.delete_view)

    @method_decorator(explain_conflicts)
    @method_decorator(transaction.atomic)
    def response_action(self, request: HttpRequest, queryset: QuerySet[M]) -> HttpResponse | None:  # type: ignore[override]  # the stubs lack the None that Django's own returns
        return super().response_action(request, queryset)

    def get_deleted_objects(
        self, objs: Sequence[M] | QuerySet[M], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Count what goes along; Django would list each row of what may be millions."""
        selected = list(objs)
        pks = [obj.pk for obj in selected]
        actor = rights.actor_of(request)
        if request.method == "POST":
            # Those that are left, as they are now.
            held = self._hold(request, pks)
            if not self.has_delete_permission(request):
                raise PermissionDenied(rights.CHANGED_MEANWHILE)
            selected = [held[pk] for pk in pks if pk in held]
        manageable = set(self.manageable(actor).filter(pk__in=pks).values_list("pk", flat=True))
        obstacles = {self.obstacle(obj) for obj in selected if obj.pk not in manageable}
        counts = {str(self.opts.verbose_name_plural): len(selected)}
        names = [str(obj) for obj in selected]
        return names, counts | self.what_goes_along(selected), obstacles, []

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        # What was looked at and is held. A selection of all may match more by now.
        held = self.get_queryset(request).filter(pk__in=[obj.pk for obj in queryset])
        super().delete_queryset(request, held)

    # It looks an object up as pages that change it do, and so would hold it at a POST.
    history_view = method_decorator(require_safe)(admin.ModelAdmin.history_view)
