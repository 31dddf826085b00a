"""Pages found by where the one before ended: the millionth is as fast as the first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Q

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from joblogs.models import UserLog


class Position(NamedTuple):
    """A row's place in the order newest first: by time, then by id."""

    created_at: datetime
    id: int

    @classmethod
    def of(cls, log: UserLog) -> Position:
        return cls(log.created_at, log.pk)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what str() gave. Raises ValueError or OverflowError for anything else."""
        moment, _, number = text.rpartition("_")
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is None or not 0 <= int(number) < 2**63:
            raise ValueError(text)
        # PostgreSQL knows fewer offsets from UTC than Python.
        return cls(created_at.astimezone(UTC), int(number))

    def __str__(self) -> str:
        return f"{self.created_at.isoformat()}_{self.id}"


class Page(NamedTuple):
    """One page of rows, newest first, and the positions its neighbours start from."""

    rows: list[UserLog]
    newer: Position | None
    older: Position | None


def page(
    logs: QuerySet[UserLog],
    size: int,
    *,
    older_than: Position | None = None,
    newer_than: Position | None = None,
) -> Page:
    """Return the newest page, or the one right before or after a position. One query."""
    if newer_than:
        rows = list(_beyond(logs, newer_than, "gt").order_by("created_at", "id")[: size + 1])
        more, rows = len(rows) > size, rows[:size][::-1]
        newer = Position.of(rows[0]) if more else None
        return Page(rows, newer, Position.of(rows[-1]) if rows else None)
    if older_than:
        logs = _beyond(logs, older_than, "lt")
    rows = list(logs.order_by("-created_at", "-id")[: size + 1])
    more, rows = len(rows) > size, rows[:size]
    newer = Position.of(rows[0]) if older_than and rows else None
    return Page(rows, newer, Position.of(rows[-1]) if more else None)


def _beyond(logs: QuerySet[UserLog], position: Position, lookup: str) -> QuerySet[UserLog]:
    return logs.filter(
        # The first condition lets the database start in the index at this moment.
        Q(**{f"created_at__{lookup}e": position.created_at})
        & (
            Q(**{f"created_at__{lookup}": position.created_at})
            | Q(**{f"id__{lookup}": position.id})
        )
    )
