"""Writing logs: once a job, and never for a user who is gone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import DataError, connection, transaction

from accounts.models import User
from joblogs.models import UserLog
from tests.processes import database_url
from tests.sql import execute, somebody_waits_for_a_lock
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

pytestmark = pytest.mark.django_db


def test_the_same_job_writes_one_log_however_often_it_runs() -> None:
    user = User.objects.create_user("alice")
    assert [UserLog.objects.write(user_id=user.pk, job_id=7) for _ in range(3)] == [True] * 3
    assert UserLog.objects.get().job_id == 7


def test_another_job_and_no_job_at_all_write_logs_of_their_own() -> None:
    user = User.objects.create_user("alice")
    for job_id in (7, 8, None, None):
        UserLog.objects.write(user_id=user.pk, job_id=job_id)
    assert [log.job_id for log in UserLog.objects.order_by("id")] == [7, 8, None, None]


def test_a_job_id_used_again_writes_for_another_user() -> None:
    for name in ("alice", "bob"):
        UserLog.objects.write(user_id=User.objects.create_user(name).pk, job_id=1)
    assert UserLog.objects.count() == 2


def test_nothing_is_written_for_a_user_who_does_not_exist() -> None:
    assert UserLog.objects.write(user_id=999_999) is False
    # The caller's transaction goes on.
    User.objects.create_user("alice")
    assert not UserLog.objects.exists()


def test_what_cannot_be_a_user_is_an_error() -> None:
    with pytest.raises(DataError), transaction.atomic():
        UserLog.objects.write(user_id=2**63)


def test_many_are_written_at_once_but_those_without_a_user(
    django_assert_num_queries: Callable[..., Any],
) -> None:
    alice, bob = (User.objects.create_user(name).pk for name in ("alice", "bob"))
    with django_assert_num_queries(1):
        written = UserLog.objects.write_many([(alice, 1), (999_999, 2), (bob, 3), (alice, 1)])
    assert written == [True, False, True, True]
    assert sorted(UserLog.objects.values_list("user_id", "job_id")) == [(alice, 1), (bob, 3)]


def test_writing_takes_one_statement(django_assert_num_queries: Callable[..., Any]) -> None:
    user = User.objects.create_user("alice")
    with django_assert_num_queries(1):
        UserLog.objects.write(user_id=user.pk)


def test_a_log_names_itself_and_its_user() -> None:
    user = User.objects.create_user("alice")
    UserLog.objects.write(user_id=user.pk)
    log = UserLog.objects.get()
    assert str(log) == f"Log {log.pk} of user {user.pk}"


def test_deleting_users_in_sql_deletes_their_logs() -> None:
    user = User.objects.create_user("alice")
    UserLog.objects.write(user_id=user.pk)
    execute("DELETE FROM users WHERE id = %s", user.pk)
    assert not UserLog.objects.exists()


@pytest.fixture
def other_session(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's, in a transaction."""
    with psycopg.connect(database_url()) as other:
        yield other


def in_background(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []

    def call() -> None:
        try:
            results.append(function())
        except Exception as error:  # noqa: BLE001  # handed to the test
            results.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=call)
    thread.start()
    return thread, results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deleted", [True, False], ids=["committed", "rolled back"])
def test_a_log_waits_for_its_users_deletion_which_may_fail(
    other_session: psycopg.Connection, deleted: bool
) -> None:
    user = User.objects.create_user("alice")
    other_session.execute("DELETE FROM users WHERE id = %s", [user.pk])
    thread, results = in_background(lambda: UserLog.objects.write(user_id=user.pk, job_id=1))
    wait_for(somebody_waits_for_a_lock)
    if deleted:
        other_session.commit()
    else:
        other_session.rollback()
    thread.join()
    assert results == [not deleted]
    assert UserLog.objects.exists() == (not deleted)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "delete",
    [lambda user: user.delete(), lambda user: User.objects.filter(pk=user.pk).delete()],
    ids=["user", "queryset"],
)
def test_a_deletion_takes_a_log_along_that_was_just_being_written(
    other_session: psycopg.Connection, delete: Callable[[User], object]
) -> None:
    user = User.objects.create_user("alice")
    other_session.execute("INSERT INTO user_logs (user_id, job_id) VALUES (%s, 1)", [user.pk])
    thread, results = in_background(lambda: delete(user))
    wait_for(somebody_waits_for_a_lock)
    other_session.commit()
    thread.join()
    assert not isinstance(results[0], Exception), results
    assert not User.objects.exists()
    assert not UserLog.objects.exists()
