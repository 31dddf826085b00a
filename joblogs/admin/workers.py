"""Workers and periodic tasks in the admin, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.utils.html import format_html

from joblogs.admin.jobs import NOTHING
from joblogs.admin.read_only import ReadOnlyMixin, exact
from joblogs.models import Job, PeriodicTask, Worker
from joblogs.periodic import schedules
from joblogs.permissions import missing_permission

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


# How the states look; those of jobs have their colours already.
LOOKS = {"running": "running", "alive": "running", "silent": "failed"}
STANDING_BY = "waiting"


class WorkerChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        workers = list(self.result_list)
        Worker.attach_details(workers)
        self.result_list = workers


@admin.register(Worker)
class WorkerAdmin(ReadOnlyMixin, admin.ModelAdmin[Worker]):
    list_display = (
        "id",
        "shown_state",
        "process",
        "queues",
        "running_jobs",
        "concurrency",
        "memory",
        "version",
        "started",
        "heartbeat",
    )
    readonly_fields = (*list_display, "name", "lock")
    fieldsets = (
        (None, {"fields": ("id", "shown_state", "heartbeat", "started", "lock")}),
        ("Jobs", {"fields": ("queues", "running_jobs", "concurrency")}),
        ("Process", {"fields": ("name", "process", "memory", "version")}),
    )
    # Not by their heartbeats, which would change the order every few seconds.
    ordering = ("id",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[WorkerChangeList]:
        return WorkerChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Workers"} | (extra_context or {}))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        running = Job.objects.filter(worker=OuterRef("pk"), status="doing").order_by()
        count = running.values("worker").annotate(count=Count("*")).values("count")
        workers = super().get_queryset(request)
        return workers.annotate(running=Coalesce(Subquery(count), 0))

    @admin.display(description="State")
    def shown_state(self, worker: Worker) -> str:
        look = LOOKS.get(worker.state, STANDING_BY)
        return format_html('<span class="job-state job-state-{}">{}</span>', look, worker.state)

    @admin.display(description="Process")
    def process(self, worker: Worker) -> str:
        return str(worker.details or NOTHING)

    @admin.display(description="Name")
    def name(self, worker: Worker) -> str:
        return worker.details.name if worker.details else NOTHING

    @admin.display(description="Queues")
    def queues(self, worker: Worker) -> str:
        if worker.details is None:
            return NOTHING
        return "all" if worker.details.queues is None else ", ".join(worker.details.queues)

    @admin.display(description="Running jobs")
    def running_jobs(self, worker: Any) -> int:
        count: int = worker.running
        return count

    @admin.display(description="Concurrency")
    def concurrency(self, worker: Worker) -> str:
        return str(worker.details.concurrency) if worker.details else NOTHING

    @admin.display(description="Memory")
    def memory(self, worker: Worker) -> str:
        return filesizeformat(worker.details.memory) if worker.details else NOTHING

    @admin.display(description="Version")
    def version(self, worker: Worker) -> str:
        return worker.details.version if worker.details else NOTHING

    @admin.display(description="Started")
    def started(self, worker: Worker) -> str:
        return exact(worker.details.started_at if worker.details else None) or NOTHING

    @admin.display(description="Last seen")
    def heartbeat(self, worker: Worker) -> str | None:
        return exact(worker.last_heartbeat)

    @admin.display(description="Tells by a lock that it lives", boolean=True)
    def lock(self, worker: Worker) -> bool | None:
        return worker.details.holds_lock if worker.details else None


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
