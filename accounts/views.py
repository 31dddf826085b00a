"""The user pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import (
    CreateView,
    DeleteView,
    DetailView,
    ListView,
    RedirectView,
    UpdateView,
)
from django.views.generic.detail import SingleObjectMixin

from accounts import rights
from accounts.conflicts import explain_conflicts
from accounts.forms import UserCreationForm, UserPasswordForm, UserSearchForm, UserUpdateForm
from accounts.models import User
from joblogs.models import UserLog
from joblogs.permissions import StaffPermissionMixin
from joblogs.progress import user_logs_context

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.forms import BaseForm
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

SEE_LOGS = "joblogs.view_userlog"


class HomeView(LoginRequiredMixin, RedirectView):
    """Leads to the first page that one may open."""

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        user = self.request.user
        if user.is_staff:
            for permission, page in [
                ("accounts.view_user", "user-list"),
                (SEE_LOGS, "log-list"),
                ("accounts.add_user", "user-create"),
            ]:
                if user.has_perm(permission):
                    return reverse(page)
            return reverse("admin:index")
        raise PermissionDenied("These pages are for staff members.")


class UserListView(StaffPermissionMixin, ListView[User]):
    permissions_required = ("accounts.view_user",)
    model = User
    template_name = "accounts/user_list.html"
    context_object_name = "users"
    paginate_by = 25

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.form = UserSearchForm(request.GET)
        response = super().get(request, *args, **kwargs)
        if not self.form.is_valid():
            response.status_code = 400
        return response

    def get_queryset(self) -> QuerySet[User]:
        return self.form.search(User.objects.all())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        page = context["page_obj"]
        show_log_count = self.request.user.has_perm(SEE_LOGS)
        if show_log_count:
            # One query, and only for the users of this page.
            counts = UserLog.objects.count_by_user(user.pk for user in page)
            for user in page:
                user.log_count = counts.get(user.pk, 0)
        return context | {
            "form": self.form,
            "columns": self.form.columns,
            "show_log_count": show_log_count,
            "page_range": page.paginator.get_elided_page_range(page.number),
        }


class UserMixin(StaffPermissionMixin, SingleObjectMixin[User]):
    """Pages about one user: `user` is always the person who looks, `account` the one looked at."""

    model = User
    context_object_name = "account"

    @property
    def actor(self) -> User:
        return rights.actor_of(self.request)


class UserDetailView(UserMixin, DetailView[User]):
    permissions_required = ("accounts.view_user",)
    template_name = "accounts/user_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if any(self.actor.has_perm(f"accounts.{verb}_user") for verb in ("change", "delete")):
            context["manageable"] = not rights.obstacle_to_changing(self.actor, self.object)
        context["show_logs"] = self.request.user.has_perm(SEE_LOGS)
        if context["show_logs"]:
            context |= user_logs_context(self.object.pk, self.object.created_at)
        return context


class UserLogsView(UserMixin, DetailView[User]):
    """The part of a user's page that changes by itself.

    Answers 204, at which htmx leaves the page as it is, when nothing has changed since `seen`.
    """

    permissions_required = ("accounts.view_user", SEE_LOGS)
    template_name = "joblogs/_user_logs.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            account = self.get_object()
        except Http404:
            if request.headers.get("HX-Request"):
                # The user was deleted while the page was open.
                return HttpResponse(status=204, headers={"HX-Refresh": "true"})
            raise
        context = user_logs_context(account.pk, account.created_at)
        progress = context["progress"]
        if progress and progress.seen == request.GET.get("seen"):
            return HttpResponse(status=204)
        return self.render_to_response(context | {"account": account})


class ManagedUserMixin(UserMixin):
    """Pages that change a user whose rights the person who asks has too; 403 when not."""

    obstacle = staticmethod(rights.obstacle_to_changing)

    @method_decorator(explain_conflicts)
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().post(request, *args, **kwargs)  # type: ignore[misc]  # a mixin: the view beside it has the method
        return response

    def get_object(self, queryset: QuerySet[User] | None = None) -> User:
        account = super().get_object(queryset)
        if self.request.method == "POST":
            # From here on nobody else changes it, and all that is checked stays true.
            held = rights.hold(self.actor, [account.pk])
            if missing := self._what_is_missing(self.request):
                raise PermissionDenied(missing)
            if account.pk not in held:
                raise Http404("This user was deleted meanwhile.")
            account = held[account.pk]
        if obstacle := self.obstacle(self.actor, account):
            raise PermissionDenied(obstacle)
        return account


class UserFormMixin(UserMixin):
    """Pages that save a user."""

    done: str  # what the message says has happened

    def form_valid(self, form: BaseForm) -> HttpResponse:
        try:
            with transaction.atomic():
                account = form.save()  # type: ignore[attr-defined]  # BaseForm lacks save, the forms of these views have it
        except IntegrityError as error:
            # Somebody took the name or address since the form was checked.
            conflict = User.conflict(error)
            if conflict is None:
                raise
            form.add_error(None, conflict)
            return self.form_invalid(form)
        messages.success(self.request, self.done.format(account=account))
        page = "user-detail" if self.request.user.has_perm("accounts.view_user") else "home"
        return redirect(page, *([account.pk] if page == "user-detail" else []))

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]  # a mixin: the view beside it has the method
        response.status_code = 422
        return response


@method_decorator(sensitive_post_parameters(), name="dispatch")
class UserCreateView(UserFormMixin, CreateView[User, UserCreationForm]):
    permissions_required = ("accounts.add_user",)
    form_class = UserCreationForm
    template_name = "accounts/user_form.html"
    done = "{account} was created."


class UserUpdateView(ManagedUserMixin, UserFormMixin, UpdateView[User, UserUpdateForm]):
    permissions_required = ("accounts.change_user",)
    form_class = UserUpdateForm
    template_name = "accounts/user_form.html"
    done = "{account} was saved."

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"actor": self.actor}


@method_decorator(sensitive_post_parameters(), name="dispatch")
class UserPasswordView(ManagedUserMixin, UserFormMixin, UpdateView[User, Any]):
    permissions_required = ("accounts.change_user",)
    form_class = UserPasswordForm
    template_name = "accounts/user_password.html"
    done = "The password of {account} was changed."

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if kwargs["pk"] == request.user.pk:
            # One's own is changed by who knows the present one, and cannot be taken away.
            return redirect("password-change")
        return super().dispatch(request, *args, **kwargs)


class UserDeleteView(ManagedUserMixin, DeleteView[User, Any]):
    permissions_required = ("accounts.delete_user",)
    obstacle = staticmethod(rights.obstacle_to_deleting)
    template_name = "accounts/user_confirm_delete.html"
    http_method_names = ["get", "head", "options", "post"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"log_count": self.object.logs.count()}

    def form_valid(self, form: BaseForm) -> HttpResponse:
        self.object.delete()
        messages.success(self.request, f"{self.object} was deleted.")
        return redirect("home")
