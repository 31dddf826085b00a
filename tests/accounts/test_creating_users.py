"""However a user is created, the row and its one job commit together, or neither does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.core.management import call_command
from django.db import NotSupportedError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from procrastinate.contrib.django import app

from accounts.forms import UserCreationForm
from accounts.models import User
from joblogs.models import Job, UserLog
from joblogs.tasks import create_user_log
from tests.jobs import jobs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from django.test import Client

pytestmark = pytest.mark.django_db


def by_save() -> None:
    User(username="alice").save()


def by_form() -> None:
    form = UserCreationForm({"username": "alice", "usable_password": "false"})
    assert form.is_valid(), form.errors
    form.save()


def by_createsuperuser() -> None:
    call_command("createsuperuser", "--noinput", "--username=alice", "--email=a@example.org")


def awaited(method: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> None:
    async def run() -> None:
        await method(*args, **kwargs)

    async_to_sync(run)()


WAYS: dict[str, Callable[[], object]] = {
    "save": by_save,
    "create": lambda: User.objects.create(username="alice"),
    "create_user": lambda: User.objects.create_user("alice", "a@example.org", "password"),
    "create_superuser": lambda: User.objects.create_superuser("alice", "", "password"),
    "createsuperuser": by_createsuperuser,
    "form": by_form,
    "get_or_create": lambda: User.objects.get_or_create(username="alice"),
    "update_or_create": lambda: User.objects.update_or_create(username="alice"),
    "bulk_create": lambda: User.objects.bulk_create([User(username="alice")]),
    "base manager": lambda: User._base_manager.create(username="alice"),
    "base manager in bulk": lambda: User._base_manager.bulk_create([User(username="alice")]),
}
ASYNC_WAYS: dict[str, Callable[[], object]] = {
    "asave": lambda: awaited(User(username="alice").asave),
    "acreate": lambda: awaited(User.objects.acreate, username="alice"),
    "acreate_user": lambda: awaited(User.objects.acreate_user, "alice"),
    "acreate_superuser": lambda: awaited(User.objects.acreate_superuser, "alice"),
    "aget_or_create": lambda: awaited(User.objects.aget_or_create, username="alice"),
    "aupdate_or_create": lambda: awaited(User.objects.aupdate_or_create, username="alice"),
    "abulk_create": lambda: awaited(User.objects.abulk_create, [User(username="alice")]),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_defers_one_job(way: str) -> None:
    WAYS[way]()
    assert [job.status for job in jobs_of(User.objects.get().pk)] == ["todo"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_every_asynchronous_way_defers_one_job(way: str) -> None:
    ASYNC_WAYS[way]()
    assert [job.status for job in jobs_of(User.objects.get().pk)] == ["todo"]


def test_the_page_and_the_admin_defer_one_job(as_administrator: Client) -> None:
    form = {"username": "alice", "usable_password": "false"}
    assert as_administrator.post("/users/new/", form).status_code == 302
    form = {"username": "bob", "usable_password": "false", "_save": "Save"}
    assert as_administrator.post("/admin/accounts/user/add/", form).status_code == 302
    for name in ("alice", "bob"):
        assert len(jobs_of(User.objects.get(username=name).pk)) == 1


class Interrupted(Exception):
    pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS | ASYNC_WAYS)
def test_an_error_between_insert_and_defer_leaves_neither(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inserted: list[bool] = []

    def fail(*args: object, **kwargs: object) -> None:
        inserted.append(User.objects.exists())
        raise Interrupted

    # Both entrances to the job manager, so that the row is there and its job is not.
    monkeypatch.setattr(app.job_manager, "defer_job", fail)
    monkeypatch.setattr(app.job_manager, "batch_defer_jobs", fail)
    with pytest.raises(Interrupted):
        (WAYS | ASYNC_WAYS)[way]()
    assert inserted == [True]
    assert not User.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
def test_a_rollback_leaves_neither(way: str) -> None:
    with pytest.raises(Interrupted), transaction.atomic():
        WAYS[way]()
        raise Interrupted
    assert not User.objects.exists()
    assert not Job.objects.exists()


def test_creating_a_user_in_a_transaction_costs_two_statements(
    django_assert_num_queries: Callable[..., Any],
) -> None:
    with django_assert_num_queries(2):  # the user, the job
        User.objects.create(username="alice")


def test_a_transaction_goes_back_though_its_owner_hides_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise Interrupted

    monkeypatch.setattr(app.job_manager, "defer_job", fail)
    with transaction.atomic(), contextlib.suppress(Interrupted):
        User.objects.create(username="alice")
    assert not User.objects.exists()


def test_saving_again_defers_nothing() -> None:
    user = User.objects.create_user("alice")
    user.first_name = "Alice"
    user.save()
    user.save(update_fields=["last_name"])
    User.objects.update_or_create(username="alice", defaults={"first_name": "A"})
    User.objects.get_or_create(username="alice")
    User.objects.filter(username="alice").update(first_name="B")
    assert len(jobs_of(user.pk)) == 1


def test_saving_a_deleted_user_again_creates_it_and_defers_again() -> None:
    user = User.objects.create_user("alice")
    user.delete()
    user.save()
    assert len(jobs_of(user.pk)) == 1


def test_bulk_create_defers_in_chunks(django_assert_num_queries: Callable[..., Any]) -> None:
    users = [User(username=f"user{number}") for number in range(1_001)]
    with django_assert_num_queries(1 + 2):  # one INSERT, two chunks of jobs
        created = User.objects.bulk_create(users)
    deferred = Job.objects.filter(task_name=create_user_log.name).values_list("args", flat=True)
    assert sorted(args["user_id"] for args in deferred) == sorted(user.pk for user in created)


def test_bulk_create_of_nobody_defers_nothing() -> None:
    assert User.objects.bulk_create([]) == []
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "conflicts",
    [
        {"ignore_conflicts": True},
        {
            "update_conflicts": True,
            "update_fields": ["first_name"],
            "unique_fields": ["username"],
        },
    ],
    ids=["ignore", "update"],
)
def test_bulk_create_refuses_conflicts_that_look_like_new_rows(
    conflicts: dict[str, Any],
) -> None:
    with pytest.raises(NotSupportedError, match="could not tell which users are new"):
        User.objects.bulk_create([User(username="alice")], **conflicts)
    assert not User.objects.exists()


def test_a_proxy_of_the_user_defers_too() -> None:
    class Member(User):
        class Meta:
            proxy = True
            app_label = "accounts"

    try:
        member = Member.objects.create(username="alice")
        assert len(jobs_of(member.pk)) == 1
    finally:
        del User._meta.apps.all_models["accounts"]["member"]
        User._meta.apps.clear_cache()


def test_fixtures_defer_nothing(tmp_path: Path) -> None:
    User.objects.bulk_create([User(username="alice")])
    fixture = tmp_path / "users.json"
    fixture.write_text(serializers.serialize("json", User.objects.all()))
    User.objects.all().delete()
    jobs = Job.objects.count()
    call_command("loaddata", str(fixture), verbosity=0)
    assert User.objects.get().username == "alice"
    assert Job.objects.count() == jobs


def test_historical_models_of_migrations_defer_nothing() -> None:
    executor = MigrationExecutor(connection)
    past = executor.loader.project_state(executor.loader.graph.leaf_nodes()).apps
    historical = past.get_model("accounts", "User")
    historical.objects.create(username="alice")
    historical.objects.bulk_create([historical(username="bob")], ignore_conflicts=True)
    assert User.objects.count() == 2
    assert not Job.objects.exists()


def test_a_deferred_job_can_have_another_queue_priority_and_time() -> None:
    user = User.objects.create_user("alice")
    create_user_log.configure(queue="high", priority=7, schedule_in={"hours": 1}).defer(
        user_id=user.pk
    )
    stock, configured = jobs_of(user.pk)
    assert (stock.queue_name, stock.priority, stock.scheduled_at) == ("default", 0, None)
    assert (configured.queue_name, configured.priority) == ("high", 7)
    assert configured.scheduled_at
    assert not UserLog.objects.exists()
