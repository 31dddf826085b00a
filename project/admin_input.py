"""What the admin refuses as input: what Django would fail at, and questions that no page asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IS_POPUP_VAR, TO_FIELD_VAR
from django.contrib.admin.views.main import (
    ALL_VAR,
    ERROR_FLAG,
    ORDER_VAR,
    PAGE_VAR,
    SEARCH_VAR,
)
from django.core.exceptions import BadRequest, ValidationError

if TYPE_CHECKING:
    from django.http import HttpRequest

OF_EVERY_LIST = {
    *(ALL_VAR, ERROR_FLAG, IS_POPUP_VAR, ORDER_VAR, PAGE_VAR, SEARCH_VAR, TO_FIELD_VAR),
}
# What the filters that Django makes for a field put behind its name.
FILTERS = ("", "__exact", "__id__exact", "__isnull", "__isempty", "__gte", "__lt")


def check(request: HttpRequest) -> None:
    """Raise BadRequest, which is answered with 400, for what no page of the admin takes."""
    if any("\0" in value for _, values in request.GET.lists() for value in values):
        raise BadRequest("A query parameter holds a NUL.")
    if "" in (request.GET.get(TO_FIELD_VAR), request.POST.get(TO_FIELD_VAR)):
        raise BadRequest("The field to lead to has no name.")


def check_list(model_admin: ModelAdmin[Any], view_name: str, request: HttpRequest) -> None:
    """Raise BadRequest or DisallowedModelAdminLookup for what this list does not take."""
    if view_name == "changelist_view":
        _check_lookups(model_admin, request)
        _check_chosen(model_admin, request)


def _check_lookups(model_admin: ModelAdmin[Any], request: HttpRequest) -> None:
    """Allow what the list's filters ask for and, of other lookups, those it names itself.

    Django allows any lookup: patterns that take the database very long, questions about columns
    that no page shows.
    """
    allowed = {*OF_EVERY_LIST, *getattr(model_admin, "other_parameters", ())}
    for choice in model_admin.get_list_filter(request):
        if isinstance(choice, type) and issubclass(choice, SimpleListFilter):
            allowed.add(choice.parameter_name)
        else:
            field = choice[0] if isinstance(choice, list | tuple) else choice
            allowed.update(f"{field}{suffix}" for suffix in FILTERS)
    for name in request.GET:
        if name not in allowed:
            raise DisallowedModelAdminLookup(f"This list has no filter “{name}”.")


def _check_chosen(model_admin: ModelAdmin[Any], request: HttpRequest) -> None:
    for pk in request.POST.getlist(ACTION_CHECKBOX_NAME):
        try:
            model_admin.opts.pk.to_python(pk)
        except ValidationError:
            raise BadRequest("What was chosen is not in this list.") from None
