"""The list of jobs in the admin: as fast with ten million of them as with ten.

Jobs are listed newest first, page after page by their ids. What no index serves (a queue, a task,
an argument) is looked for among the newest SEARCHED jobs only, and then, when asked, among those
before. Nothing is ever counted beyond COUNTED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db.models import F, Q
from django.urls import reverse
from django.utils.html import format_html
from procrastinate.contrib.django.models import ProcrastinateEvent

from joblogs.admin.job_filters import StateFilter
from joblogs.admin.job_search import LARGEST_ID, JobSearch
from joblogs.models import Job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AbstractUser, AnonymousUser
    from django.db.models import QuerySet
    from django.http import HttpRequest

BEFORE = "before"  # the query parameter that says where a page starts
SEARCHED = 100_000
COUNTED = 10_000
UNSUCCESSFUL = {"failed", "cancelled", "aborted"}


class ByPrimaryKey:
    """Newest first, by the id."""

    @staticmethod
    def newest_first(jobs: QuerySet[Job], before: int | None) -> QuerySet[Job]:
        jobs = jobs.order_by("-pk")
        return jobs if before is None else jobs.filter(pk__lt=before)

    @staticmethod
    def not_older_than(pk: int) -> Q:
        return Q(pk__gte=pk)


class ByIndexOfUnsuccessful:
    """The same, in the words of the index on jobs that have not succeeded: see its migration."""

    @staticmethod
    def newest_first(jobs: QuerySet[Job], before: int | None) -> QuerySet[Job]:
        jobs = jobs.alias(negative=F("pk") * -1).order_by("negative")
        return jobs if before is None else jobs.filter(negative__gt=-before)

    @staticmethod
    def not_older_than(pk: int) -> Q:
        return Q(negative__lte=-pk)


class JobChangeList(ChangeList):
    def __init__(self, request: HttpRequest, *args: Any) -> None:
        text = request.GET.get(BEFORE, "")
        # Python reads no number of thousands of digits, and the database none above this.
        is_number = text.isascii() and text.isdecimal()
        self.before = min(int(text[:20]), LARGEST_ID) if is_number else None
        super().__init__(request, *args)
        if self.search.problem:
            messages.warning(request, self.search.problem)

    def get_queryset(self, request: HttpRequest, *args: Any) -> QuerySet[Job]:
        # Links to filters and searches start at the newest job again.
        for parameters in (self.params, self.filter_params):
            parameters.pop(BEFORE, None)
        jobs: QuerySet[Job] = super().get_queryset(request, *args)
        self.search = JobSearch.parse(self.query)
        filters = {
            spec.parameter_name: spec.value()
            for spec in self.filter_specs
            if isinstance(spec, SimpleListFilter)
        }
        state = filters.pop(StateFilter.parameter_name) or ""
        status = StateFilter.STATUSES.get(state)
        order = ByIndexOfUnsuccessful if status in UNSUCCESSFUL else ByPrimaryKey
        jobs = order.newest_first(jobs, self.before)

        self.oldest_searched = None
        self.searches_in_state = bool(status) and status != "succeeded"
        # There is no index on those that succeeded, which would cost every job that does.
        plain = state not in {"waiting", "scheduled", "succeeded"} and not any(filters.values())
        if not (plain and self.search.is_exact):
            searched = order.newest_first(Job.objects.all(), self.before)
            if self.searches_in_state:
                searched = searched.filter(status=status)
            ends = list(searched.values_list("pk", flat=True)[SEARCHED - 1 : SEARCHED + 1])
            if len(ends) == 2:
                self.oldest_searched = ends[0]

        found = jobs.filter(self.search.condition)
        if self.oldest_searched is not None:
            found = found.filter(order.not_older_than(self.oldest_searched))
        if not self.search.known:
            return found
        # Two searches: for one with an OR the database would read the whole table.
        ids = found.values_list("pk", flat=True)[:COUNTED]
        return jobs.filter(pk__in={*ids, *self.search.known})

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Job]) -> list[Any]:
        return []

    def get_results(self, request: HttpRequest) -> None:
        rows = list(self.queryset[: self.list_per_page + 1])
        more = len(rows) > self.list_per_page
        self.result_list = rows[: self.list_per_page]
        self.result_count = len(self.result_list)
        self.newest_url = self.get_query_string() if self.before is not None else None
        self.older_url = self.search_older_url = None
        if more:
            # The last row may be a job known to match, from beyond where the search has ended.
            before = max(self.result_list[-1].pk, self.oldest_searched or 0)
            self.older_url = self.get_query_string({BEFORE: before})
            if self.before is None:
                # So many can be chosen for an action at once.
                self.result_count = self.queryset.order_by()[:COUNTED].count()
        elif self.oldest_searched is not None:
            self.search_older_url = self.get_query_string({BEFORE: self.oldest_searched})
        self.searched = f"{SEARCHED:,}"
        # Of Django's list, which pages by number and counts everything.
        self.full_result_count = self.result_count
        self.show_full_result_count = False
        self.show_admin_actions = bool(rows)
        self.can_show_all = self.multi_page = False
        attach_users(self.result_list, request.user)
        attach_last_events(self.result_list)


def attach_users(jobs: Iterable[Job], viewer: AbstractUser | AnonymousUser) -> None:
    """Tell jobs whom they are about, with a link for those who may see users; one query."""
    model = get_user_model()
    opts = model._meta
    ids = {job.user_id for job in jobs if job.user_id is not None}
    may_see = viewer.has_perm(f"{opts.app_label}.view_{opts.model_name}")
    users = model._default_manager.in_bulk(ids) if may_see and ids else {}
    page = f"admin:{opts.app_label}_{opts.model_name}_change"
    for job in jobs:
        if user := users.get(job.user_id):
            job.about = format_html('<a href="{}">{}</a>', reverse(page, args=[user.pk]), user)
        elif job.user_id is not None:
            job.about = f"user {job.user_id}" + (" (deleted)" if may_see else "")
        else:
            job.about = ""


def attach_last_events(jobs: Iterable[Job]) -> None:
    """Give jobs the time of what happened to them last, in one query."""
    events = (
        ProcrastinateEvent.objects.filter(job__in=[job.pk for job in jobs])
        # Its time is that for which the job is scheduled.
        .exclude(type="scheduled")
        .order_by("job_id", "-id")
        .distinct("job_id")
    )
    times = dict(events.values_list("job_id", "at"))
    for job in jobs:
        job.changed_at = times.get(job.pk)
