"""Outcomes as a table, a row for each scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.play import Outcome

#: Of one side; the other one's are the same.
COLUMNS = (
    "survived",
    "missing / doubled",
    "left doing",
    "longest silence",
    "first log",
    "rate during",
    "rate after",
    "caught up",
)


def table(pairs: Sequence[tuple[Outcome, Outcome | None]]) -> str:
    """Return a table in Markdown of ours and, where it was played, stock's."""
    with_stock = any(stock for _, stock in pairs)
    header = ["scenario", "users", *COLUMNS]
    if with_stock:
        header += [f"stock: {column}" for column in COLUMNS]
    rows = [header, ["---"] * len(header)]
    for ours, stock in pairs:
        row = [ours.scenario, f"{ours.verdict.users:,}", *_cells(ours)]
        if with_stock:
            row += _cells(stock) if stock else ["-"] * len(COLUMNS)
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(outcome: Outcome) -> list[str]:
    verdict, pace = outcome.verdict, outcome.pace
    assert pace is not None
    return [
        "yes" if not outcome.faults else f"NO: {', '.join(outcome.faults)}",
        f"{verdict.missing:,} / {verdict.doubled:,}",
        f"{verdict.doing:,}",
        _seconds(pace.silence),
        _seconds(pace.first_log),
        _times(pace.ratio_during),
        _times(pace.ratio_after),
        _seconds(pace.caught_up),
    ]


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"
