"""Read the SQL files beside the migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlparse


def sql(name: str) -> list[str | tuple[str, Any]]:
    """Return the statements of sql/NAME.sql, to be executed one by one."""
    return list(sqlparse.split((Path(__file__).parent / "sql" / f"{name}.sql").read_text()))


def function(name: str) -> list[str | tuple[str, Any]]:
    """Return sql/NAME.sql as one statement: splitting would tear the bodies of functions."""
    return [(Path(__file__).parent / "sql" / f"{name}.sql").read_text()]
