"""Procrastinate's jobs in the admin, in place of Procrastinate's own pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import procrastinate.contrib.django.admin  # noqa: F401  # imported to register what is unregistered here
from django.contrib import admin
from django.template.defaultfilters import truncatechars
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob

from joblogs.admin.job_actions import ACT, JobActionsAdmin
from joblogs.admin.job_filters import QueueFilter, StateFilter, TaskFilter
from joblogs.admin.job_list import BEFORE, JobChangeList, attach_users
from joblogs.admin.job_search import HELP
from joblogs.admin.read_only import exact
from joblogs.models import Job, JobLog
from joblogs.verbs import VERBS

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

SHOWN_EVENTS = 100
SHOWN_ATTEMPTS = 20
LONGEST_IN_LIST = 80  # characters of arguments
LONGEST = 20_000
NOTHING = "-"  # as Django writes it for empty columns

admin.site.unregister(ProcrastinateJob)


@admin.register(Job)
class JobAdmin(JobActionsAdmin):
    list_display = (
        "id",
        "task",
        "shown_state",
        "changed",
        "about_user",
        "queue",
        "short_arguments",
    )
    list_display_links = ("id", "task")
    list_filter = (StateFilter, QueueFilter, TaskFilter)
    list_per_page = 100
    sortable_by = ()
    # The list does the search itself; this makes Django show the box.
    search_fields = ("id",)
    search_help_text = HELP
    other_parameters = (BEFORE,)
    # Facets count the jobs behind each filter.
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        (None, {"fields": ("shown_state", "task_name", "about_user", "all_arguments")}),
        ("Queue", {"fields": ("queue_name", "priority", "due", "attempts")}),
        ("Locks", {"fields": ("lock", "queueing_lock", "run_by")}),
    )
    readonly_fields = ("shown_state", "about_user", "all_arguments", "due", "run_by")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobChangeList]:
        return JobChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset, False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Jobs"} | (extra_context or {}))

    def get_object(self, request: HttpRequest, *args: Any) -> Any:
        job = super().get_object(request, *args)
        if isinstance(job, Job):
            attach_users([job], request.user)
        return job

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        now = timezone.now()
        events = ProcrastinateEvent.objects.filter(job=obj.pk).order_by("-id")
        latest = list(events[: SHOWN_EVENTS + 1])
        context |= {
            "verbs": [
                (verb, reverse(ACT, args=[verb.name]) + f"?ids={obj.pk}")
                for verb in VERBS.values()
                if request.user.has_perm(verb.permission) and not obj.reason_against(verb, now)
            ],
            "events": latest[:SHOWN_EVENTS][::-1],
            "has_more_events": len(latest) > SHOWN_EVENTS,
        }
        if request.user.has_perm("joblogs.view_joblog"):
            # Of an id that started again after a truncate, too: newest first.
            attempts = JobLog.objects.filter(job_id=obj.pk).order_by("-id")
            context["attempts"] = attempts[:SHOWN_ATTEMPTS]
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="Task")
    def task(self, job: Job) -> str:
        return format_html(
            '<span title="{}">{}</span>', job.task_name, job.task_name.rpartition(".")[2]
        )

    @admin.display(description="State")
    def shown_state(self, job: Job) -> str:
        return format_html('<span class="job-state job-state-{0}">{0}</span>', job.state)

    @admin.display(description="User")
    def about_user(self, job: Job) -> str:
        return job.about or NOTHING

    @admin.display(description="Arguments")
    def short_arguments(self, job: Job) -> str:
        text = json.dumps(job.arguments, ensure_ascii=False)
        return format_html("<code><bdi>{}</bdi></code>", truncatechars(text, LONGEST_IN_LIST))

    @admin.display(description="Arguments")
    def all_arguments(self, job: Job) -> str:
        text = json.dumps(job.arguments, ensure_ascii=False, indent=2)
        return format_html("<pre><bdi>{}</bdi></pre>", truncatechars(text, LONGEST))

    @admin.display(description="Queue")
    def queue(self, job: Job) -> str:
        return job.queue_name

    @admin.display(description="Changed")
    def changed(self, job: Job) -> str:
        return exact(job.changed_at) or NOTHING

    @admin.display(description="Scheduled for")
    def due(self, job: Job) -> str:
        return exact(job.scheduled_at) or NOTHING

    @admin.display(description="Run by")
    def run_by(self, job: Job) -> str:
        return f"Worker {job.worker_id}" if job.worker_id else NOTHING
