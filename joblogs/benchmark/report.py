"""What was measured, as a table or as JSON."""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import dataclass, field
from typing import Literal

COLUMNS = ("case", "stock", "joblogs", "ratio", "target", "met")


@dataclass(frozen=True)
class Target:
    """A limit for the ratio of the medians, or for the median of ours alone."""

    of: Literal["ratio", "joblogs"]
    limit: float
    #: Whether the limit is the least or the most that is right.
    least: bool = False

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit


def at_least(ratio: float) -> Target:
    return Target("ratio", ratio, least=True)


def at_most(ratio: float) -> Target:
    return Target("ratio", ratio)


def ours_at_most(value: float) -> Target:
    return Target("joblogs", value)


@dataclass(frozen=True)
class Case:
    """Repeated measurements of one thing on both sides."""

    name: str
    unit: str
    stock: list[float]
    joblogs: list[float]
    target: Target | None = None
    #: What `ratio` is, when it is not ours by stock's.
    against: list[float] | None = None
    stock_against: list[float] | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by stock's, or by what it is held against: the ratio of the medians."""
        return _ratio(self.joblogs, self.stock if self.against is None else self.against)

    @property
    def stock_ratio(self) -> float | None:
        """Stock's by what it is held against, if there is such a thing."""
        return _ratio(self.stock, self.stock_against or [])

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None when there is none or nothing to compare."""
        if self.target is None:
            return None
        ours = statistics.median(self.joblogs) if self.joblogs else None
        value = self.ratio if self.target.of == "ratio" else ours
        return None if value is None else self.target.met_by(value)

    def row(self) -> list[str]:
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}x"
        target = "-"
        if self.target:
            unit = "x" if self.target.of == "ratio" else f" {self.unit}"
            target = f"{'>=' if self.target.least else '<='} {self.target.limit:g}{unit}"
        met = {True: "yes", False: "NO", None: "-"}[self.met]
        stock = _shown(self.stock, self.unit)
        if self.stock_ratio is not None:
            stock += f" = {self.stock_ratio:.2f}x"
        name = f"{self.name} [{self.note}]" if self.note else self.name
        return [name, stock, _shown(self.joblogs, self.unit), ratio, target, met]

    def as_json(self) -> dict[str, object]:
        target = self.target and {
            "of": self.target.of,
            "least" if self.target.least else "most": self.target.limit,
        }
        return {
            "case": self.name,
            "unit": self.unit,
            "stock": _summary(self.stock),
            "joblogs": _summary(self.joblogs),
            "ratio": self.ratio,
            "stock_ratio": self.stock_ratio,
            "target": target,
            "met": self.met,
            "note": self.note,
        }


@dataclass
class Report:
    """All cases of one call."""

    benchmark: str
    command: str
    environment: dict[str, str]
    #: A regular expression: what else is not measured.
    only: str = ""
    cases: list[Case] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wants(self, name: str) -> bool:
        """Tell whether a case is to be measured."""
        return re.search(self.only, name) is not None

    def as_json(self) -> str:
        return json.dumps(
            {
                "benchmark": self.benchmark,
                "command": self.command,
                "environment": self.environment,
                "cases": [case.as_json() for case in self.cases],
                "notes": self.notes,
            },
            indent=2,
        )

    def as_text(self) -> str:
        """Return an aligned table under what it was measured on: medians (least-most)."""
        rows = [list(COLUMNS), *(case.row() for case in self.cases)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines = [self.command, ", ".join(f"{k} {v}" for k, v in self.environment.items()), ""]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  ".join(cells).rstrip())
        lines.insert(4, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, "", *self.notes]).rstrip()


def _ratio(values: list[float], base: list[float]) -> float | None:
    if not values or not base or not statistics.median(base):
        return None
    return statistics.median(values) / statistics.median(base)


def _summary(values: list[float]) -> dict[str, object] | None:
    if not values:
        return None
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "values": values,
    }


def _shown(values: list[float], unit: str) -> str:
    if not values:
        return "-"
    middle = _number(statistics.median(values))
    if len(values) == 1:
        return f"{middle} {unit}"
    return f"{middle} {unit} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
