"""The log pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils import timezone
from django.views.generic import TemplateView

from joblogs import keyset
from joblogs.forms import UserLogFilterForm
from joblogs.models import UserLog
from joblogs.permissions import StaffPermissionMixin

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

PAGE_SIZE = 50


class UserLogListView(StaffPermissionMixin, TemplateView):
    permissions_required = ("joblogs.view_userlog",)
    template_name = "joblogs/userlog_list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = UserLogFilterForm(request.GET)
        logs = form.filter(UserLog.objects.select_related("user"))
        page = keyset.page(
            logs,
            PAGE_SIZE,
            older_than=form.cleaned_data.get("older"),
            newer_than=form.cleaned_data.get("newer"),
        )
        context = self.get_context_data(
            form=form,
            logs=page.rows,
            older_url=page.older and self._url(older=page.older),
            newer_url=page.newer and self._url(newer=page.newer),
            newest_url=self._url() if page.newer else None,
            time_zone=timezone.get_current_timezone_name(),
        )
        return self.render_to_response(context, status=200 if form.is_valid() else 400)

    def _url(self, **position: keyset.Position) -> str:
        """Return this page's address with the same filter, at another position."""
        query = self.request.GET.copy()
        for name in ("older", "newer"):
            query.pop(name, None)
        query.update({name: str(value) for name, value in position.items()})
        return f"{reverse('log-list')}?{query.urlencode()}" if query else reverse("log-list")
