"""A database that cannot be reached: one line says where, what and why."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError, connections

from project.postgres.base import DatabaseWrapper
from project.postgres.errors import DatabaseUnreachable
from tests.checkouts import environment

if TYPE_CHECKING:
    from tests.checkouts import Checkout


@pytest.mark.parametrize(
    "command",
    [["migrate"], ["shell", "-v0", "-c", "User.objects.count()"], ["procrastinate", "worker"]],
    ids=" ".join,
)
def test_every_command_says_so_in_one_line(
    checkout: Checkout, closed_port: int, command: list[str]
) -> None:
    url = f"postgres://somebody:hidden@127.0.0.1:{closed_port}/shop"
    result = checkout.manage(*command, env=environment(DATABASE_URL=url, SECRET_KEY="x"))
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: Cannot reach PostgreSQL at 127.0.0.1:{closed_port}, "
        'database "shop": Connection refused\n'
    )


def database(**settings: object) -> DatabaseWrapper:
    settings_dict = connections["default"].settings_dict | {"EMBEDDED": None} | settings
    return DatabaseWrapper(settings_dict, alias="elsewhere")


def connect_to(wrapper: DatabaseWrapper) -> None:
    # ensure_connection() is what pytest-django forbids to tests that have no database.
    with wrapper.wrap_database_errors:
        wrapper.connect()


def test_code_may_catch_it_as_djangos_own_error(closed_port: int) -> None:
    with pytest.raises(OperationalError) as caught:
        connect_to(database(HOST="127.0.0.1", PORT=closed_port))
    assert type(caught.value) is DatabaseUnreachable


def test_it_names_every_host(closed_port: int) -> None:
    with pytest.raises(
        DatabaseUnreachable,
        match=rf"at 127.0.0.1:{closed_port}, 127.0.0.2:{closed_port}, .*: Connection refused$",
    ):
        connect_to(database(HOST="127.0.0.1,127.0.0.2", PORT=closed_port))


def test_it_names_the_folder_of_a_socket() -> None:
    with pytest.raises(DatabaseUnreachable, match=r"at /nowhere:5432, .*: No such file or dir"):
        connect_to(database(HOST="/nowhere", PORT=""))


def test_a_pool_that_gets_no_connection_says_so_too(closed_port: int) -> None:
    options = {"pool": {"min_size": 0, "max_size": 1, "timeout": 0.2}}
    wrapper = database(HOST="127.0.0.1", PORT=closed_port, OPTIONS=options, CONN_MAX_AGE=0)
    with pytest.raises(DatabaseUnreachable, match=rf"at 127.0.0.1:{closed_port}, "):
        connect_to(wrapper)
    wrapper.close_pool()


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        options = {"connect_timeout": 1}
        wrapper = database(HOST="127.0.0.1", PORT=port, NAME="shop", OPTIONS=options)
        with pytest.raises(DatabaseUnreachable, match="timeout"):
            connect_to(wrapper)


def test_variables_about_other_servers_do_not_reach_our_own(
    checkout: Checkout,
) -> None:
    elsewhere = {"PGHOSTADDR": "127.0.0.1", "PGSERVICE": "nope", "PGREQUIREAUTH": "scram-sha-256"}
    for command in (["postgres", "start"], ["dbshell", "--", "-c", "select 1"]):
        result = checkout.manage(*command, env=environment(**elsewhere))
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.django_db
def test_a_pool_in_use_is_not_called_a_server_that_is_away() -> None:
    pool = {"min_size": 1, "max_size": 1, "timeout": 0.2}
    settings = connections["default"].settings_dict | {
        "OPTIONS": {"pool": pool},
        "CONN_MAX_AGE": 0,
        "NAME": "postgres",
    }
    first, second = (DatabaseWrapper(dict(settings), alias="crowded") for _ in range(2))
    first.connect()
    try:
        with pytest.raises(DatabaseUnreachable, match=r"couldn't get a connection after 0\.20 sec"):
            second.connect()
    finally:
        first.close()
        first.close_pool()
