"""The filters of the list of jobs. Their choices are known without looking at the jobs."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.db.models import Q
from django.utils import timezone
from procrastinate.contrib.django import app

from joblogs.models import Job

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class StateFilter(SimpleListFilter):
    title = "state"
    parameter_name = "state"
    STATUSES: ClassVar = {
        "waiting": "todo",
        "scheduled": "todo",
        "running": "doing",
        "succeeded": "succeeded",
        "failed": "failed",
        "cancelled": "cancelled",
        "aborted": "aborted",
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.capitalize()) for state in self.STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        state = self.value()
        if state is None:
            return queryset
        if state not in self.STATUSES:
            return queryset.none()
        queryset = queryset.filter(status=self.STATUSES[state])
        match state:
            case "scheduled":
                return queryset.filter(scheduled_at__gt=timezone.now())
            case "waiting":
                return queryset.filter(Q(scheduled_at=None) | Q(scheduled_at__lte=timezone.now()))
        return queryset


class QueueFilter(SimpleListFilter):
    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in Job.objects.queue_names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job] | None:
        return _narrowed(queryset, "queue_name", self.value())


class TaskFilter(SimpleListFilter):
    title = "task"
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # Some have a second name from before.
        names = {task.name for task in app.tasks.values()}
        return sorted(((name, name.rpartition(".")[2]) for name in names), key=itemgetter(1, 0))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job] | None:
        return _narrowed(queryset, "task_name", self.value())


def _narrowed(jobs: QuerySet[Job], field: str, value: str | None) -> QuerySet[Job]:
    return jobs if value is None else jobs.filter(**{field: value})
