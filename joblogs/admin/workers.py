"""Workers and periodic tasks in the admin, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.template.response import TemplateResponse

from joblogs.admin.read_only import ReadOnlyMixin, exact
from joblogs.models import Job, PeriodicTask, Worker
from joblogs.periodic import schedules
from joblogs.permissions import missing_permission

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


@admin.register(Worker)
class WorkerAdmin(ReadOnlyMixin, admin.ModelAdmin[Worker]):
    list_display = ("id", "is_alive", "heartbeat", "running_jobs")
    fields = readonly_fields = ("id", "is_alive", "heartbeat", "running_jobs")
    ordering = ("-last_heartbeat",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Workers"} | (extra_context or {}))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        running = Job.objects.filter(worker=OuterRef("pk"), status="doing").order_by()
        count = running.values("worker").annotate(count=Count("*")).values("count")
        workers = super().get_queryset(request)
        return workers.annotate(running=Coalesce(Subquery(count), 0))

    @admin.display(description="Alive", boolean=True)
    def is_alive(self, worker: Worker) -> bool:
        return worker.is_alive

    @admin.display(description="Last heartbeat")
    def heartbeat(self, worker: Worker) -> str | None:
        return exact(worker.last_heartbeat)

    @admin.display(description="Running jobs")
    def running_jobs(self, worker: Any) -> int:
        count: int = worker.running
        return count


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyMixin, admin.ModelAdmin[PeriodicTask]):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the periodic tasks of the code, also those that were never deferred."""
        if not self.has_view_permission(request):
            raise PermissionDenied(missing_permission("joblogs.view_periodictask"))
        context = self.admin_site.each_context(request) | {
            "title": "Periodic tasks",
            "opts": self.opts,
            "schedules": schedules(),
            "may_see_jobs": request.user.has_perm("joblogs.view_job"),
        }
        return TemplateResponse(request, "admin/joblogs/periodictask/list.html", context)
