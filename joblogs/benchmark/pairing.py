"""Measuring both sides by turns, so that what else the machine does hits both."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblogs.benchmark.sides import Side

T = TypeVar("T")


def by_turns(
    sides: tuple[Side, Side],
    measure: Callable[[Side], T],
    *,
    repeat: int,
    name: str,
    say: Callable[[str], None],
) -> tuple[list[T], list[T]]:
    """Measure stock, Joblogs, stock, Joblogs, ...; return what each had."""
    measured: tuple[list[T], list[T]] = ([], [])
    for turn in range(repeat):
        for side, values in zip(sides, measured, strict=True):
            say(f"{name}: {side.name}, {turn + 1} of {repeat}")
            values.append(measure(side))
    return measured
