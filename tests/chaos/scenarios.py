"""What is played: a trouble each, and a mix of all of them by chance."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from tests.chaos import pressures, troubles
from tests.chaos.stage import Stage

Trouble = Callable[[Stage], None]

# Users created in a second, each with 1.3 jobs on the average. Two stock workers do some 400 to 700
# jobs a second on two cores, which they share with PostgreSQL and the producer.
RATE = 120.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    name: str
    trouble: Trouble
    rate: float = RATE
    #: Seconds from the end of the trouble.
    first_log_within: float = 5.0
    #: What the stage is to have; see there.
    slow: bool = False
    by_proxy: bool = False
    gates: bool = False
    #: What is done before all is well.
    before: Trouble | None = None


def _kill(step: str, gate: int) -> Scenario:
    return Scenario(
        name=f"SIGKILL of a worker while a job {step}",
        trouble=partial(troubles.kill_at, gate),
        gates=True,
    )


SCENARIOS = [
    _kill("is fetched", troubles.FETCH),
    _kill("is at work", troubles.WORK),
    _kill("is finished", troubles.FINISH),
    _kill("is committed", troubles.COMMIT),
    Scenario(
        name="SIGKILL of one of two workers every 4 s, for 20 s",
        trouble=partial(troubles.kill_again_and_again, seconds=20),
    ),
    Scenario(
        name="worker frozen for 35 s (SIGSTOP, SIGCONT)",
        trouble=partial(troubles.freeze, seconds=35),
        gates=True,
    ),
    Scenario(name="PostgreSQL restarts, fast", trouble=troubles.restart_fast),
    Scenario(name="PostgreSQL restarts, immediate", trouble=troubles.restart_immediately),
    Scenario(name="PostgreSQL away for 120 s", trouble=partial(troubles.stop_for, 120)),
    Scenario(
        name="pg_terminate_backend, 4 a second, for 15 s",
        trouble=partial(troubles.terminate, seconds=15),
        gates=True,
    ),
    Scenario(
        name="300 clients take all 100 connections, for 15 s",
        trouble=partial(troubles.squeeze, seconds=15),
    ),
    Scenario(
        name="connections half-open, new ones too, for 20 s",
        trouble=partial(troubles.fall_silent, seconds=20),
        by_proxy=True,
        gates=True,
    ),
    Scenario(
        name="connections half-open for good, new ones work [15 s]",
        trouble=partial(troubles.fall_silent_once, seconds=15),
        by_proxy=True,
        gates=True,
    ),
    Scenario(
        name="the same, and then SIGKILL of a worker",
        trouble=partial(troubles.fall_silent_and_kill, seconds=12),
        by_proxy=True,
        gates=True,
    ),
    Scenario(
        name="idle transaction, 50,000 jobs come and go, for 15 s",
        trouble=partial(pressures.pin, seconds=15),
    ),
    Scenario(
        name="4 readers scan 200,000 jobs, for 15 s",
        trouble=partial(pressures.read, seconds=15),
        before=pressures.add_history,
    ),
    Scenario(
        name="1.5 times the jobs that fit into the slots, for 15 s",
        trouble=partial(pressures.overload, seconds=15),
        rate=0.5 * pressures.CAPACITY,
        slow=True,
        # Those deferred before go first: half of what fits into 15 s, and logs need no time.
        first_log_within=10.0,
    ),
    Scenario(
        name="PostgreSQL's clock steps by hours, for 12 s",
        trouble=partial(pressures.step_clock, seconds=12),
    ),
]


class Step(NamedTuple):
    """A part of a mix."""

    name: str
    trouble: Trouble
    #: Seconds in which all is well afterwards.
    pause: float


#: What a mix is made of, and how many seconds each lasts at most there.
_PARTS: list[tuple[str, Callable[[float], Trouble], float]] = [
    ("SIGKILL in a fetch", lambda _: partial(troubles.kill_at, troubles.FETCH), 0),
    ("SIGKILL at work", lambda _: partial(troubles.kill_at, troubles.WORK), 0),
    ("SIGKILL in a finish", lambda _: partial(troubles.kill_at, troubles.FINISH), 0),
    ("SIGKILL in a commit", lambda _: partial(troubles.kill_at, troubles.COMMIT), 0),
    ("kills", lambda seconds: partial(troubles.kill_again_and_again, seconds=seconds), 10),
    ("freeze", lambda seconds: partial(troubles.freeze, seconds=seconds), 28),
    ("fast restart", lambda _: troubles.restart_fast, 0),
    ("immediate restart", lambda _: troubles.restart_immediately, 0),
    ("stop", lambda seconds: partial(troubles.stop_for, seconds), 12),
    ("terminate", lambda seconds: partial(troubles.terminate, seconds=seconds), 8),
    ("squeeze", lambda seconds: partial(troubles.squeeze, seconds=seconds), 8),
    ("silence", lambda seconds: partial(troubles.fall_silent, seconds=seconds), 15),
    ("silence once", lambda seconds: partial(troubles.fall_silent_once, seconds=seconds), 8),
    ("idle transaction", lambda seconds: partial(pressures.pin, seconds=seconds), 8),
    ("readers", lambda seconds: partial(pressures.read, seconds=seconds), 8),
    ("more users", lambda seconds: partial(pressures.crowd_in, RATE, seconds=seconds), 8),
    ("clock", lambda seconds: partial(pressures.step_clock, seconds=seconds), 5),
]


def mix(seconds: float, chance: random.Random, *, at_most: float = 30.0) -> list[Step]:
    """Choose troubles, one after the other, that last so long together; each at most `at_most`.

    None comes twice before all have come. The same chance makes the same mix.
    """
    steps: list[Step] = []
    bag: list[tuple[str, Callable[[float], Trouble], float]] = []
    left = seconds
    while left > 0:
        bag = bag or chance.sample(_PARTS, len(_PARTS))
        name, trouble_of, longest = bag.pop()
        lasts = min(longest, at_most) * chance.uniform(0.5, 1)
        pause = chance.uniform(0.5, 3)
        steps.append(Step(f"{name} {lasts:.1f} s" if lasts else name, trouble_of(lasts), pause))
        left -= lasts + pause
    return steps


def soak(seconds: float, seed: int, *, at_most: float = 30.0) -> Scenario:
    """Return a scenario with a mix of all troubles."""
    chance = random.Random(seed)  # noqa: S311  # troubles, no secrets
    steps = mix(seconds, chance, at_most=at_most)

    def trouble(stage: Stage) -> None:
        for step in steps:
            stage.say(step.name)
            step.trouble(stage)
            time.sleep(step.pause)

    name = f"all of them by chance, for {seconds:g} s, seed {seed}"
    return Scenario(name=name, trouble=trouble, by_proxy=True, gates=True)
