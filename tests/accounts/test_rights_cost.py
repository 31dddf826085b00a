"""The rules cost a query or two a page, however many users and permissions there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import rights
from accounts.models import User
from tests.sql import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(staff: Callable[..., User]) -> User:
    return staff("accounts.view_user", "accounts.change_user", "accounts.delete_user")


def queries(request: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert request().status_code in {200, 302}
    return len(captured)


def test_a_rule_costs_one_query_and_superusers_none(
    administrator: User, manager: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    alice = User.objects.create_user("alice")
    alice.groups.add(Group.objects.create(name="group"))
    with django_assert_num_queries(1):
        assert rights.obstacle_to_deleting(manager, alice) == ""
    with django_assert_num_queries(0):
        assert rights.obstacle_to_deleting(administrator, alice) == ""


def test_a_page_of_the_admin_asks_once(client: Client, manager: User) -> None:
    client.force_login(manager)
    alice = User.objects.create_user("alice")
    with CaptureQueriesContext(connection) as captured:
        client.get(f"/admin/accounts/user/{alice.pk}/change/")
    assert len([query for query in captured if '"is_staff" <= ' in query["sql"]]) == 1


def test_holding_costs_one_query_and_uses_the_users_key(
    administrator: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    users = User.objects.bulk_create([User(username=f"user{number}") for number in range(2_000)])
    execute("ANALYZE users")
    with django_assert_num_queries(1) as captured, transaction.atomic(savepoint=False):
        rights.hold(administrator, [users[0].pk])
    plan = "\n".join(row[0] for row in execute(f"EXPLAIN {captured[0]['sql']}"))
    assert "users_pkey" in plan


def test_the_rule_for_a_group_reads_its_members_and_not_everybody(
    staff: Callable[..., User], django_assert_num_queries: Callable[..., Any]
) -> None:
    manager = staff("auth.change_group")
    users = User.objects.bulk_create([User(username=f"user{number}") for number in range(2_000)])
    group, everybody = (Group.objects.create(name=name) for name in ("group", "everybody"))
    group.user_set.add(*users[:3])
    everybody.user_set.add(*users)
    execute("ANALYZE users, users_groups, users_user_permissions")
    with django_assert_num_queries(1):
        assert rights.manageable_groups(manager).filter(pk=group.pk).exists()
    plan = rights.manageable_groups(manager).filter(pk=group.pk).explain()
    assert "Seq Scan on users " not in plan
    assert "Seq Scan on users_groups " not in plan


def test_pages_that_show_rights_do_not_cost_a_query_for_each(
    client: Client, staff: Callable[..., User]
) -> None:
    client.force_login(staff("accounts.view_user", "auth.view_group"))
    alice = User.objects.create_user("alice")
    group = Group.objects.create(name="group")
    urls = [f"/admin/accounts/user/{alice.pk}/change/", f"/admin/auth/group/{group.pk}/change/"]
    for url in urls:
        client.get(url)  # content types are remembered
    before = [queries(lambda url=url: client.get(url)) for url in urls]  # type: ignore[misc]  # a lambda's default
    alice.user_permissions.set(Permission.objects.all())
    group.permissions.set(Permission.objects.all())
    assert [queries(lambda url=url: client.get(url)) for url in urls] == [n + 1 for n in before]  # type: ignore[misc]  # a lambda's default


def test_the_action_does_not_cost_a_query_for_each_user(client: Client, manager: User) -> None:
    client.force_login(manager)
    users = User.objects.bulk_create([User(username=f"user{number}") for number in range(24)])
    form = {"action": "delete_selected", "post": "yes"}
    pks = [user.pk for user in users]

    def delete(selected: list[int]) -> Any:
        return client.post("/admin/accounts/user/", form | {"_selected_action": selected})

    delete(pks[:2])  # content types are remembered
    assert queries(lambda: delete(pks[2:4])) == queries(lambda: delete(pks[4:]))
    assert not User.objects.filter(pk__in=pks).exists()
