"""What people are told whose change meets somebody else's."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import IntegrityError
from django.shortcuts import redirect
from psycopg.errors import ForeignKeyViolation, UniqueViolation

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

OVERTAKEN = "Somebody else changed this at the same moment. Nothing was saved."


def explain_conflicts(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Say so when somebody else took a name, or deleted or used what the view is about.

    The view's transaction has to be inside: foreign keys are checked when it commits.
    """

    @wraps(view)
    def explained(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except IntegrityError as error:
            if not isinstance(error.__cause__, UniqueViolation | ForeignKeyViolation):
                raise
            # To read them takes away what was said too early: that all is saved.
            list(messages.get_messages(request))
            messages.error(request, OVERTAKEN)
            return redirect(request.get_full_path())

    return explained
