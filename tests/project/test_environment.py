"""Settings are read from the environment, and say plainly what they cannot read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from environs import Env

from project.environment import SIGNS_OF_LIFE, database, secret_key
from tests.forking import ROOT
from tests.processes import run_forked

HERE = Path("/checkout")


def test_without_a_url_the_embedded_server_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    entry = database(Env(), HERE)
    assert entry["EMBEDDED"] == HERE / ".postgres"
    assert entry["NAME"] == "joblogs"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgres://alice:s%40crt@db.example.org:5433/jobs",
            {
                "NAME": "jobs",
                "USER": "alice",
                "PASSWORD": "s@crt",
                "HOST": "db.example.org",
                "PORT": "5433",
                "OPTIONS": SIGNS_OF_LIFE | {"connect_timeout": 5},
            },
        ),
        (
            "postgresql:///jobs?host=/run/postgresql&sslmode=require&connect_timeout=3",
            {
                "NAME": "jobs",
                "USER": "",
                "HOST": "/run/postgresql",
                "PORT": "",
                "OPTIONS": SIGNS_OF_LIFE | {"sslmode": "require", "connect_timeout": "3"},
            },
        ),
    ],
)
def test_a_url_is_read_as_libpq_reads_it(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: dict[str, Any]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    entry = database(Env(), HERE)
    assert entry.items() >= expected.items()
    assert "EMBEDDED" not in entry


@pytest.mark.parametrize("pooled", [True, False])
def test_behind_a_pooler_there_are_no_server_side_cursors(
    monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    monkeypatch.setenv("TRANSACTION_POOLING", str(pooled).lower())
    assert database(Env(), HERE)["DISABLE_SERVER_SIDE_CURSORS"] is pooled


def test_lost_servers_are_noticed_unless_the_url_has_its_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://db.example.org/jobs?keepalives_idle=60")
    options = database(Env(), HERE)["OPTIONS"]
    assert options == {
        "connect_timeout": 5,
        "keepalives_idle": "60",
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 11_000,
    }


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///db.sqlite3", "PostgreSQL only"),
        ("postgres://db.example.org", "names no database"),
        ("postgres://db.example.org/jobs?nonsense=1", "cannot be read"),
        ("postgres://db.example.org/jobs?connect_timeout=soon", "must be a number of seconds"),
        ("postgres://alice:s3/cr@et@db.example.org/jobs", "write / as %2F and @ as %40"),
    ],
)
def test_a_url_that_does_not_fit_is_explained(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ImproperlyConfigured, match=message) as caught:
        database(Env(), HERE)
    assert "et@" not in str(caught.value)


def test_the_web_server_pools_and_others_connect_by_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "7")
    entry = database(Env(), HERE)
    assert entry["OPTIONS"]["pool"]["max_size"] == 7
    assert "CONN_MAX_AGE" not in entry
    monkeypatch.delenv("DATABASE_POOL_SIZE")
    assert database(Env(), HERE)["CONN_MAX_AGE"] is None


def test_a_development_checkout_makes_a_key_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    key = secret_key(Env(), tmp_path)
    assert len(key) >= 50
    assert secret_key(Env(), tmp_path) == key
    assert [path.name for path in tmp_path.iterdir()] == [".secret_key"]
    assert stat.S_IMODE((tmp_path / ".secret_key").stat().st_mode) == 0o600


def test_a_checkout_that_cannot_keep_a_key_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(ImproperlyConfigured, match="cannot be kept in"):
        secret_key(Env(), tmp_path / "missing")


def test_a_key_of_ones_own_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "mine")
    assert secret_key(Env(), tmp_path) == "mine"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATABASE_URL": "postgres://db/jobs", "SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"DATABASE_URL": "mysql://db/jobs"}, "PostgreSQL only"),
        ({"DEBUG": "perhaps"}, "DEBUG"),
        ({"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE"),
        ({"HTTPS": "perhaps"}, "HTTPS"),
        ({"HSTS_SECONDS": "-1"}, "HSTS_SECONDS"),
        ({"SESSION_HOURS": "0"}, "SESSION_HOURS"),
        ({"LOGIN_ATTEMPTS": "0"}, "LOGIN_ATTEMPTS"),
        ({"LOGIN_LOCK_MINUTES": "none"}, "LOGIN_LOCK_MINUTES"),
        ({"TIME_ZONE": "Mars"}, "try one such as Europe/Paris"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [["manage.py", "check"], ["-m", "uvicorn", "project.asgi:application"]],
    ids=["command", "server"],
)
def test_commands_and_server_say_in_a_line_what_does_not_fit(
    variables: dict[str, str], message: str, command: list[str]
) -> None:
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "project.settings"} | variables
    result = run_forked(*command, cwd=ROOT, env=env)
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    assert message in line


def test_words_for_secrets_are_added_and_empty_ones_mean_nothing() -> None:
    names = ["my_pin", "maiden name", "password", "user_id", "colour"]
    program = (
        "import django; django.setup();"
        " from joblogs.redaction import is_secret;"
        f" print([name for name in {names} if is_secret(name)])"
    )
    for words, secret in (
        (" pin, maiden name, ,", ["my_pin", "maiden name", "password"]),
        ("pwd, pin,", ["my_pin", "password"]),
        ("", ["password"]),
    ):
        env = {"DJANGO_SETTINGS_MODULE": "project.settings", "REDACTED_ARGUMENTS": words}
        result = run_forked("-c", program, cwd=ROOT, env=os.environ | env)
        assert (result.returncode, result.stdout.strip()) == (0, str(secret)), result.stderr
