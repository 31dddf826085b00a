"""Every scenario, and a short mix, without a look at the pace; with it: make chaos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.play import play
from tests.chaos.scenarios import SCENARIOS, soak
from tests.chaos.table import table

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


@pytest.mark.chaos
def test_the_pace_is_looked_at_and_shown(server: PostgresServer, logs: Path) -> None:
    [restart] = [each for each in SCENARIOS if "immediate" in each.name]
    outcome = play(
        restart.brief(),
        server,
        "joblogs",
        folder=logs,
        number=len(PLAYED),
        seed=SEED,
        with_pace=True,
    )
    assert outcome.pace
    # How fast it was depends on the machine.
    assert outcome.pace.rate_before > 0
    assert outcome.pace.rate_after > 0
    assert outcome.pace.first_log is not None
    row = table([(outcome, None)]).splitlines()[-1]
    assert row.startswith(f"| PostgreSQL restarts, immediate | {outcome.verdict.users} | ")
