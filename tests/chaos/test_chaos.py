"""Some of the scenarios, and a short mix. All of them: make chaos."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.chaos import troubles
from tests.chaos.play import play
from tests.chaos.scenarios import Scenario, soak

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.server import PostgresServer

SEED = 3
QUICK = [
    Scenario(name="kill", trouble=partial(troubles.kill_at, troubles.WORK), gates=True),
    Scenario(name="immediate restart", trouble=troubles.restart_immediately),
    Scenario(name="terminations", trouble=partial(troubles.terminate, seconds=5), gates=True),
    soak(20, SEED, at_most=3),
]
numbers = itertools.count()


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_every_user_has_one_log_and_nothing_is_left_undone(
    scenario: Scenario, server: PostgresServer, logs: Path
) -> None:
    outcome = play(scenario, server, "joblogs", folder=logs, number=next(numbers), seed=SEED)
    # How fast it goes on is measured by `make chaos`.
    assert not outcome.losses, "\n".join([*outcome.faults, *outcome.story, f"logs in {logs}"])
