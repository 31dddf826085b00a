"""What people do to jobs in the admin: asked again, judged, done, and written to its history."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpResponseRedirect, QueryDict
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import path, reverse

from joblogs.admin.job_list import COUNTED
from joblogs.admin.read_only import ReadOnlyMixin
from joblogs.models import Job
from joblogs.permissions import missing_permission
from joblogs.verbs import DELETE, VERBS, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from joblogs.models import Verdict

logger = logging.getLogger(__name__)

LIST = "admin:joblogs_job_changelist"
ACT = "admin:joblogs_job_act"
FILTERS = ("q", "state", "queue", "task")
NAMED = 20  # jobs that a sentence or a page names


class JobActionsAdmin(ReadOnlyMixin, admin.ModelAdmin[Job]):
    """The verbs as actions of the list, each with its permission, and the page that asks again."""

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(self.act_view)
        return [path("act/<slug:verb>/", act, name="joblogs_job_act"), *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {
            verb.name: (_action(verb), verb.name, verb.label)
            for verb in VERBS.values()
            if request.user.has_perm(verb.permission)
        }

    def act_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Ask for confirmation (GET) or do it (POST) to the jobs whose `ids` are given."""
        if verb not in VERBS:
            raise Http404
        action = VERBS[verb]
        _require(request.user, action)
        given = request.POST if request.method == "POST" else request.GET
        filters = given.get("filters", "")
        list_url = _list_url(filters)
        ids = _ids(given.get("ids", ""))
        if not ids:
            self.message_user(request, "No jobs were chosen.", messages.WARNING)
            return HttpResponseRedirect(list_url)
        if request.method == "POST":
            self._perform(request, action, ids)
            return HttpResponseRedirect(list_url)
        return self.confirm(request, action, ids, filters)

    def confirm(
        self, request: HttpRequest, verb: Verb, ids: Iterable[int], filters: str
    ) -> HttpResponse:
        """Show how many jobs it will be done to, and which ones will be left alone and why."""
        ids = list(ids)
        verdict = Job.objects.filter(pk__in=ids).judge(verb)
        context = self.admin_site.each_context(request) | {
            "title": f"{verb.label}: {_count(len(verdict.jobs))}",
            "opts": self.opts,
            "verb": verb,
            "jobs": verdict.jobs[:NAMED],
            "job_count": len(verdict.jobs),
            "more_jobs": max(len(verdict.jobs) - NAMED, 0),
            "left_alone": _left_alone(ids, verdict),
            "is_limited": len(ids) == COUNTED,
            "limit": COUNTED,
            "ids": ",".join(str(job.pk) for job in verdict.jobs),
            "filters": filters,
            "act_url": reverse(ACT, args=[verb.name]),
            "list_url": _list_url(filters),
        }
        return TemplateResponse(request, "admin/joblogs/job/confirm.html", context)

    def _perform(self, request: HttpRequest, verb: Verb, ids: list[int]) -> None:
        with transaction.atomic():
            verdict = Job.objects.filter(pk__in=ids).perform(verb)
            # Who may do it is asked again, now that nobody can change the answer before it is done.
            users = get_user_model()._default_manager.select_for_update(no_key=True)
            actor: Any = users.filter(pk__in=[request.user.pk]).first()
            _require(actor, verb)
            LogEntry.objects.log_actions(
                actor.pk,
                verdict.jobs,
                DELETION if verb is DELETE else CHANGE,
                f"{verb.done.capitalize()}.",
            )
        count = len(verdict.jobs)
        if count:
            # The history goes with a user who is deleted.
            ids_done = ", ".join(str(job.pk) for job in verdict.jobs)
            logger.info("%s: %s by %s: %s", verb.label, _count(count), request.user, ids_done)
            done = f"{_count(count)} {'was' if count == 1 else 'were'} {verb.done}."
            self.message_user(request, done, messages.SUCCESS)
        if left_alone := _left_alone(ids, verdict):
            reasons = ", ".join(left_alone)
            self.message_user(request, f"Left alone: {reasons}.", messages.WARNING)


def _action(verb: Verb) -> Callable[..., HttpResponse]:
    """Return what the list calls when a verb is chosen for the selected jobs."""

    def ask(admin: JobActionsAdmin, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        ids = jobs.values_list("pk", flat=True)[:COUNTED]
        return admin.confirm(request, verb, ids, request.GET.urlencode())

    return ask


def _ids(text: str) -> list[int] | None:
    """Read "1,2,3"; None when it is something else, or too many."""
    parts = [part for part in text.split(",") if part]
    if len(parts) > COUNTED:
        return None
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
        return None
    return list(dict.fromkeys(int(part) for part in parts))


def _require(user: Any, verb: Verb) -> None:
    """Raise PermissionDenied unless this user exists, is let in, and may do it."""
    if user is None or not user.is_active or not user.is_staff:
        raise PermissionDenied("Your account was changed meanwhile. Nothing was done.")
    for permission in ("joblogs.view_job", verb.permission):
        if not user.has_perm(permission):
            raise PermissionDenied(missing_permission(permission))


def _left_alone(ids: Iterable[int], verdict: Verdict) -> list[str]:
    """Say which jobs are left alone, together by the reason why."""
    reasons = verdict.refused | dict.fromkeys(
        set(ids) - {job.pk for job in verdict.jobs} - set(verdict.refused), "does not exist"
    )
    groups: dict[str, list[int]] = {}
    for pk, reason in sorted(reasons.items()):
        groups.setdefault(reason, []).append(pk)
    told = [f"{_named(pks)} ({reason})" for reason, pks in list(groups.items())[:NAMED]]
    if untold := list(groups.values())[NAMED:]:
        told.append(f"{_count(sum(map(len, untold)))} more")
    return told


def _named(pks: list[int]) -> str:
    named = ", ".join(str(pk) for pk in pks[:NAMED])
    more = f" and {len(pks) - NAMED} more" if len(pks) > NAMED else ""
    return f"job{pluralize(len(pks))} {named}{more}"


def _count(number: int) -> str:
    return f"{number} job{pluralize(number)}"


def _list_url(filters: str) -> str:
    given = QueryDict(filters[:2_000].replace("%00", ""))
    kept = {name: given[name] for name in FILTERS if name in given}
    return reverse(LIST) + (f"?{urlencode(kept)}" if kept else "")
