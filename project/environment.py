"""Turn environment variables into the settings that need more than a cast."""

from __future__ import annotations

import os
import zoneinfo
from contextlib import suppress
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from environs import ValidationError
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from pathlib import Path

    from environs import Env


CONNECT_TIMEOUT = 5  # seconds; psycopg would wait for two minutes

# A server that is gone without a word is noticed after 11 s, not after hours: a silent connection
# is tried after 5 s, three times 2 s apart, and what was sent must arrive within 11,000 ms.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES
SIGNS_OF_LIFE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 11_000,
}


def database(env: Env, base_dir: Path) -> dict[str, Any]:
    """Return the entry of DATABASES: DATABASE_URL's server, or the embedded one when it is unset.

    The URL is read as libpq reads it, so every libpq parameter may stand behind its `?`.
    """
    url = env.str("DATABASE_URL", default="")
    entry: dict[str, Any] = {"ENGINE": "project.postgres", "OPTIONS": {}}
    if url:
        entry |= _parse(url)
    else:
        entry |= {"NAME": "joblogs", "USER": "postgres", "EMBEDDED": base_dir / ".postgres"}

    pool_size = env.int("DATABASE_POOL_SIZE", default=0)
    if pool_size:
        entry["OPTIONS"]["pool"] = {
            "min_size": 1,
            "max_size": pool_size,
            # Seconds that a request waits for a connection.
            "timeout": 5.0,
            # After an outage the pool tries again when a request asks, not at the end of a wait
            # that doubled with each failure.
            "reconnect_timeout": 1.0,
        }
    else:
        # Commands and workers keep one connection a thread, as long as it works.
        entry["CONN_MAX_AGE"] = None
    entry["CONN_HEALTH_CHECKS"] = True
    # A cursor of the server's lives in a session, which behind such a pooler is another one's next.
    entry["DISABLE_SERVER_SIDE_CURSORS"] = env.bool("TRANSACTION_POOLING", default=False)
    return entry


def _parse(url: str) -> dict[str, Any]:
    if not url.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured(
            "DATABASE_URL must start with postgres:// (Joblogs runs on PostgreSQL only)."
        )
    try:
        parts: dict[str, Any] = {**SIGNS_OF_LIFE, **conninfo_to_dict(url)}
    except ProgrammingError as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {str(error).strip()}") from None
    name = parts.get("dbname", "")
    if not name:
        raise ImproperlyConfigured("DATABASE_URL names no database: postgres://host/NAME")
    if "@" in name or "/" in name:
        # Part of a password, most likely: nothing to repeat in a message.
        raise ImproperlyConfigured(
            "DATABASE_URL cannot be read: write / as %2F and @ as %40 in its user and password."
        )
    timeout = str(parts.setdefault("connect_timeout", CONNECT_TIMEOUT))
    if not timeout.isdecimal():
        raise ImproperlyConfigured("DATABASE_URL: connect_timeout must be a number of seconds.")
    return {
        "NAME": parts.pop("dbname"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": parts,
    }


def known_time_zone(name: str) -> None:
    """Raise ValidationError for a name that Django would refuse with a traceback."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError("There is no such time zone; try one such as Europe/Paris.")


def secret_key(env: Env, base_dir: Path) -> str:
    """Return SECRET_KEY, or in a development checkout the one kept in .secret_key."""
    key = env.str("SECRET_KEY", default="")
    if key:
        return key
    if env.str("DATABASE_URL", default=""):
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. Set it to a long random string, for example the output of: "
            'python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    path = base_dir / ".secret_key"
    try:
        if not path.exists():
            _keep(get_random_secret_key(), path)
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The development key cannot be kept in {path}: {error.strerror}. "
            "Use a checkout of your own, or set SECRET_KEY."
        ) from None


def _keep(text: str, path: Path) -> None:
    """Write a private file in one step; the first of several processes wins."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:
        file.write(text)
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)
