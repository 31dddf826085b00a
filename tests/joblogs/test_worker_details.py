"""What workers tell of themselves, and how the admin shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from joblogs.models import JobWorker, Worker
from tests.sql import execute
from tests.workers import add_worker

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

LIST = "/admin/joblogs/worker/"


def rows(client: Client) -> list[list[str]]:
    """Return the texts of the list's cells, row by row."""
    response: Any = client.get(LIST)
    changelist = response.context["cl"]
    admin = changelist.model_admin
    shown = [admin.shown_state, admin.process, admin.queues, admin.concurrency, admin.memory]
    return [
        [str(show(worker)) for show in [*shown, admin.version]] for worker in changelist.result_list
    ]


def test_the_list_shows_what_each_worker_tells_of_itself(as_administrator: Client) -> None:
    add_worker(host="web-1", pid=42, queues=["high", "mail"])
    add_worker(host="web-2", pid=43, state="draining")
    first, second = rows(as_administrator)
    state = '<span class="job-state job-state-{}">{}</span>'
    assert first == [
        state.format("running", "running"),
        "web-1:42",
        "high, mail",
        "10",
        "64.0\N{NO-BREAK SPACE}MB",
        "1.2.3",
    ]
    assert second[:3] == [state.format("waiting", "draining"), "web-2:43", "all"]


def test_a_stock_worker_is_listed_with_blanks(as_administrator: Client) -> None:
    pk = add_worker(stock=True)
    [row] = rows(as_administrator)
    assert row == ['<span class="job-state job-state-running">alive</span>', *"-----"]
    page = as_administrator.get(LIST).content.decode()
    assert '<td class="field-process">-</td>' in page
    assert ">None<" not in page
    page = as_administrator.get(f"{LIST}{pk}/change/").content.decode()
    assert f"Worker {pk}" in page
    assert ">None<" not in page


def test_the_page_of_a_worker_shows_all_and_offers_no_change(as_administrator: Client) -> None:
    pk = add_worker(host="web-1", pid=42)
    page = as_administrator.get(f"{LIST}{pk}/change/").content.decode()
    for text in ("web-1:42", "worker", "64.0", "1.2.3", "all", "running"):
        assert f">{text}" in page
    assert 'name="_save"' not in page


def test_many_workers_take_as_many_queries_as_one(as_administrator: Client) -> None:
    add_worker()
    as_administrator.get(LIST)
    with CaptureQueriesContext(connection) as one:
        as_administrator.get(LIST)
    for _ in range(5):
        add_worker()
    add_worker(stock=True)
    with CaptureQueriesContext(connection) as many:
        as_administrator.get(LIST)
    assert len(many) == len(one)


@pytest.mark.parametrize(
    ("stock", "silent_for", "state"),
    [(False, 17, "quiet"), (False, 21, "silent"), (True, 27, "alive"), (True, 31, "silent")],
)
def test_a_worker_of_ours_is_silent_sooner_than_a_stock_one(
    stock: bool, silent_for: int, state: str
) -> None:
    worker = Worker.objects.get(pk=add_worker(stock=stock, silent_for=silent_for, state="quiet"))
    assert (worker.state, worker.is_alive) == (state, state != "silent")


def test_updates_leave_the_index_alone() -> None:
    add_worker()
    for _ in range(20):
        JobWorker.objects.update(running=1)
    assert execute(
        "SELECT pg_stat_get_xact_tuples_updated(oid), pg_stat_get_xact_tuples_hot_updated(oid)"
        "  FROM pg_class WHERE relname = 'job_workers'"
    ) == [(20, 20)]
