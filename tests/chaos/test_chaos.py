"""Every scenario, and a short mix, without a look at the pace; with it: make chaos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.play import play
from tests.chaos.scenarios import SCENARIOS, soak

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.server import PostgresServer

SEED = 3
PLAYED = [each.brief() for each in [*SCENARIOS, soak(20, SEED, at_most=3)]]


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(len(PLAYED)), ids=lambda number: PLAYED[number].name)
def test_every_user_has_one_log_and_nothing_is_left_undone(
    number: int, server: PostgresServer, logs: Path
) -> None:
    outcome = play(
        PLAYED[number], server, "joblogs", folder=logs, number=number, seed=SEED, with_pace=False
    )
    assert not outcome.losses, "\n".join([*outcome.faults, *outcome.story, f"logs in {logs}"])
