"""What callers see when there is no database to talk to."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from django.db import OperationalError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What psycopg and libpq say before the reason; the address is in our own message already.
_PREFIXES = re.compile(
    r"""^(?:
        connection\ (?:failed|is\ bad):\s*
      | connection\ to\ server\ (?:at|on\ socket)\ .*?\ failed:\s*
      | -\ host:\ .*?:\ (?=connection)
      | FATAL:\s*
    )""",
    re.VERBOSE,
)


class DatabaseUnreachable(OperationalError):  # noqa: N818 (reads better where it is caught)
    """No connection could be made; the message is one line with the address and the reason."""

    @classmethod
    def at(cls, params: Mapping[str, Any], error: Exception) -> DatabaseUnreachable:
        """Describe a failed connection; `params` are those that psycopg was called with."""
        name = params.get("dbname") or params.get("service") or ""
        return cls(
            f'Cannot reach PostgreSQL at {_address(params)}, database "{name}": {_reason(error)}'
        )


def _address(params: Mapping[str, Any]) -> str:
    # As libpq reads them: lists separated by commas; one port may stand for all hosts.
    hosts = str(
        params.get("host") or params.get("hostaddr") or os.environ.get("PGHOST") or "localhost"
    ).split(",")
    ports = str(params.get("port") or os.environ.get("PGPORT") or 5432).split(",")
    if len(ports) != len(hosts):
        ports = ports[:1] * len(hosts)
    return ", ".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=True))


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # With several addresses psycopg lists one attempt a line.
    attempts = [line for line in lines if line.startswith("- host:")] or lines[:1]
    reasons = dict.fromkeys(_without_prefixes(line) for line in attempts)
    return "; ".join(reasons) or type(error).__name__


def _without_prefixes(line: str) -> str:
    while (shorter := _PREFIXES.sub("", line)) != line:
        line = shorter
    return line
