"""A worker whose server is known by a name, when nobody knows that name for a while."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.jobs import outcomes
from tests.proxies import Proxy, led_through
from tests.sql import execute
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "postgres.test"
AWAY = "PostgreSQL cannot be used: "


class Name:
    """A server's name, which can become unknown."""

    def __init__(self) -> None:
        self.is_known = True
        self.asked_in_vain = 0


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Iterator[Name]:
    """Lead connections to a name of the server."""
    name = Name()
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NAME:
            return look_up(host, *args, **kwargs)
        if not name.is_known:
            name.asked_in_vain += 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with led_through(Proxy, monkeypatch, host=NAME):
        yield name


def test_a_worker_goes_on_when_its_servers_name_is_known(
    task: Callable[..., Any],
    run_worker: Callable[..., None],
    warnings: Callable[[], list[str]],
    name: Name,
) -> None:
    working = task(lambda: None)
    jobs = [working.defer()]

    def is_away() -> bool:
        # Again and again: a connection was perhaps about to be made.
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return any(line.startswith(AWAY) for line in warnings())

    def until() -> bool:
        wait_for(lambda: outcomes(jobs[0]))
        name.is_known = False
        wait_for(is_away)
        jobs.append(working.defer())
        before = name.asked_in_vain
        wait_for(lambda: name.asked_in_vain > before)
        assert outcomes(jobs[1]) == []
        name.is_known = True
        return bool(wait_for(lambda: outcomes(jobs[1])))

    run_worker(until, update_heartbeat_interval=0.1)
    assert [outcomes(job_id) for job_id in jobs] == [[(1, "succeeded")]] * 2
    [told] = [line for line in warnings() if line.startswith(AWAY)]
    assert "name resolution" in told
