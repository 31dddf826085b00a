"""What is played: a trouble each, and a mix of all of them by chance."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from tests.chaos import pressures, troubles
from tests.chaos.stage import Stage

#: What happens to a stage, and what lasts so many seconds there.
Act = Callable[[Stage], None]
Trouble = Callable[[Stage, float], None]

# Users created in a second, each with 1.3 jobs on the average. Two stock workers do some 400 to 700
# jobs a second on two cores, which they share with PostgreSQL and the producer.
RATE = 120.0
# The same where nobody looks at the pace: what is lost is lost with few of them, too.
BRIEF_RATE = 20.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    #: With {seconds} where the trouble's are to be.
    text: str
    trouble: Trouble
    #: How long the trouble lasts; 0 for one that is over at once.
    seconds: float = 0.0
    #: How long it lasts where nobody looks at the pace, if not as long.
    briefly: float | None = None
    rate: float = RATE
    #: Seconds from the end of the trouble.
    first_log_within: float = 5.0
    #: What the stage is to have; see there.
    slow: bool = False
    by_proxy: bool = False
    gates: bool = False
    #: What is done before all is well.
    before: Act | None = None

    @property
    def name(self) -> str:
        return self.text.format(seconds=f"{self.seconds:g} s")

    def brief(self) -> Scenario:
        """Return the same for when nobody looks at the pace."""
        seconds = self.seconds if self.briefly is None else self.briefly
        return replace(self, seconds=seconds, rate=self.rate if self.slow else BRIEF_RATE)


def at_once(act: Act) -> Trouble:
    """Return a trouble that does not last."""
    return lambda stage, _: act(stage)


def _kill(step: str, gate: int) -> Scenario:
    return Scenario(
        text=f"SIGKILL of a worker while a job {step}",
        trouble=at_once(partial(troubles.kill_at, gate)),
        gates=True,
    )


SCENARIOS = [
    _kill("is fetched", troubles.FETCH),
    _kill("is at work", troubles.WORK),
    _kill("is finished", troubles.FINISH),
    _kill("is committed", troubles.COMMIT),
    Scenario(
        text="SIGKILL of one of two workers every 4 s, for {seconds}",
        trouble=troubles.kill_again_and_again,
        seconds=20,
        briefly=12,
    ),
    Scenario(
        text="worker frozen for {seconds} (SIGSTOP, SIGCONT)",
        trouble=troubles.freeze,
        seconds=35,
        gates=True,
    ),
    Scenario(text="PostgreSQL restarts, fast", trouble=at_once(troubles.restart_fast)),
    Scenario(text="PostgreSQL restarts, immediate", trouble=at_once(troubles.restart_immediately)),
    Scenario(
        text="PostgreSQL away for {seconds}", trouble=troubles.stop_for, seconds=120, briefly=20
    ),
    Scenario(
        text="pg_terminate_backend, 4 a second, for {seconds}",
        trouble=troubles.terminate,
        seconds=15,
        briefly=8,
        gates=True,
    ),
    Scenario(
        text="300 clients take all 100 connections, for {seconds}",
        trouble=troubles.squeeze,
        seconds=15,
        briefly=8,
    ),
    Scenario(
        text="connections half-open, new ones too, for {seconds}",
        trouble=troubles.fall_silent,
        seconds=20,
        by_proxy=True,
        gates=True,
    ),
    Scenario(
        text="connections half-open for good, new ones work [{seconds}]",
        trouble=troubles.fall_silent_once,
        seconds=15,
        by_proxy=True,
        gates=True,
    ),
    Scenario(
        text="the same, and then SIGKILL of a worker",
        trouble=troubles.fall_silent_and_kill,
        seconds=12,
        by_proxy=True,
        gates=True,
    ),
    Scenario(
        text="idle transaction, 50,000 jobs come and go, for {seconds}",
        trouble=pressures.pin,
        seconds=15,
        briefly=8,
    ),
    Scenario(
        text="4 readers scan 200,000 jobs, for {seconds}",
        trouble=pressures.read,
        seconds=15,
        briefly=8,
        before=pressures.add_history,
    ),
    Scenario(
        text="1.5 times the jobs that fit into the slots, for {seconds}",
        trouble=pressures.overload,
        seconds=15,
        briefly=8,
        rate=0.5 * pressures.CAPACITY,
        slow=True,
        # Those deferred before go first: half of what fits into 15 s, and logs need no time.
        first_log_within=10.0,
    ),
    Scenario(
        text="PostgreSQL's clock steps by hours, for {seconds}",
        trouble=pressures.step_clock,
        seconds=12,
        briefly=8,
    ),
]


class Step(NamedTuple):
    """A part of a mix."""

    name: str
    trouble: Trouble
    seconds: float
    #: Seconds in which all is well afterwards.
    pause: float


#: What a mix is made of, and how many seconds each lasts at most there.
_PARTS: list[tuple[str, Trouble, float]] = [
    ("SIGKILL in a fetch", at_once(partial(troubles.kill_at, troubles.FETCH)), 0),
    ("SIGKILL at work", at_once(partial(troubles.kill_at, troubles.WORK)), 0),
    ("SIGKILL in a finish", at_once(partial(troubles.kill_at, troubles.FINISH)), 0),
    ("SIGKILL in a commit", at_once(partial(troubles.kill_at, troubles.COMMIT)), 0),
    ("kills", troubles.kill_again_and_again, 10),
    ("freeze", troubles.freeze, 28),
    ("fast restart", at_once(troubles.restart_fast), 0),
    ("immediate restart", at_once(troubles.restart_immediately), 0),
    ("stop", troubles.stop_for, 12),
    ("terminate", troubles.terminate, 8),
    ("squeeze", troubles.squeeze, 8),
    ("silence", troubles.fall_silent, 15),
    ("silence once", troubles.fall_silent_once, 8),
    ("idle transaction", pressures.pin, 8),
    ("readers", pressures.read, 8),
    ("more users", pressures.crowd_in, 8),
    ("clock", pressures.step_clock, 5),
]


def mix(seconds: float, chance: random.Random, *, at_most: float = 30.0) -> list[Step]:
    """Choose troubles, one after the other, that last so long together; each at most `at_most`.

    None comes twice before all have come. The same chance makes the same mix.
    """
    steps: list[Step] = []
    bag: list[tuple[str, Trouble, float]] = []
    left = seconds
    while left > 0:
        bag = bag or chance.sample(_PARTS, len(_PARTS))
        name, trouble, longest = bag.pop()
        lasts = min(longest, at_most) * chance.uniform(0.5, 1)
        pause = chance.uniform(0.5, 3)
        steps.append(Step(f"{name} {lasts:.1f} s" if lasts else name, trouble, lasts, pause))
        left -= lasts + pause
    return steps


def soak(seconds: float, seed: int, *, at_most: float = 30.0) -> Scenario:
    """Return a scenario with a mix of all troubles."""
    chance = random.Random(seed)  # noqa: S311  # troubles, no secrets
    steps = mix(seconds, chance, at_most=at_most)

    def trouble(stage: Stage) -> None:
        for step in steps:
            stage.say(step.name)
            step.trouble(stage, step.seconds)
            time.sleep(step.pause)

    text = f"all of them by chance, for {seconds:g} s, seed {seed}"
    return Scenario(text=text, trouble=at_once(trouble), by_proxy=True, gates=True)
