"""Play a scenario on one side, and tell what came of it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from psycopg.rows import class_row

from tests.chaos.server import query_of
from tests.chaos.stage import Stage
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.scenarios import Scenario
    from tests.chaos.server import PostgresServer
    from tests.chaos.stage import Side

# Seconds: how long the rate is measured while all is well, how long after the end of a trouble it
# is to be as it was, and how long it is measured then.
WELL = 5.0
LATER = 5.0
AFTERWARDS = 5.0
# How long users come before and after the trouble where nobody looks at the pace.
BRIEFLY = 1.0
# Seconds for all jobs to be done once nobody defers any more. Stock's rescue takes up to 90.
PATIENCE = 120.0
# How long a trouble lasts at least that has a rate, in seconds.
SHORT = 3.0
# What counts as the rate before; and as that of new users, if they come more slowly than before, as
# they do when others keep the machine busy.
AS_BEFORE = 0.8
AS_USERS = 0.9

UNFINISHED = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
LOGS = "SELECT count(*) FROM user_logs"


class Verdict(NamedTuple):
    """What became of users and jobs: how many of each kind, by sql/verdict.sql."""

    users: int
    missing: int
    doubled: int
    doing: int
    todo: int
    failed: int
    undone: int


class Pace(NamedTuple):
    """How fast logs were written, by sql/pace.sql."""

    rate_before: float
    rate_during: float
    rate_after: float
    users_after: float
    first_log: float | None
    silence: float
    caught_up: float | None
    #: How long the trouble lasted, in seconds.
    lasted: float

    @property
    def ratio_during(self) -> float | None:
        """The rate during the trouble by that before; None for one that was too short."""
        return self.rate_during / self.rate_before if self.lasted > SHORT else None

    @property
    def ratio_after(self) -> float:
        return self.rate_after / self.rate_before


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario on one side."""

    scenario: str
    side: Side
    verdict: Verdict
    #: None if nobody looked.
    pace: Pace | None
    #: Workers that ended by themselves, and the exit statuses of the others.
    deserters: int
    statuses: list[int]
    #: Seconds.
    first_log_within: float
    story: list[str]

    @property
    def faults(self) -> list[str]:
        """What is not as it should be, in words."""
        return [*self.losses, *self.slowness]

    @property
    def losses(self) -> list[str]:
        """What was lost or done twice, on whatever machine."""
        counts = {
            "users without a log": self.verdict.missing,
            "users with two logs": self.verdict.doubled,
            "jobs left doing": self.verdict.doing,
            "jobs left todo": self.verdict.todo,
            "jobs failed": self.verdict.failed,
            "ordinary jobs not done": self.verdict.undone,
            "workers ended": self.deserters,
            "workers stopped badly": sum(status != 0 for status in self.statuses),
        }
        return [f"{count} {what}" for what, count in counts.items() if count]

    @property
    def slowness(self) -> list[str]:
        """What took too long, which on a busy machine may be due to others."""
        faults: list[str] = []
        if self.pace is None:
            return faults
        if self.pace.first_log is None or self.pace.first_log > self.first_log_within:
            faults.append(f"no log within {self.first_log_within:g} s")
        enough = min(AS_BEFORE * self.pace.rate_before, AS_USERS * self.pace.users_after)
        if self.pace.rate_after < enough:
            faults.append(f"rate {self.pace.ratio_after:.2f}x")
        return faults


def play(
    scenario: Scenario,
    server: PostgresServer,
    side: Side,
    *,
    folder: Path,
    number: int,
    seed: int,
    with_pace: bool,
) -> Outcome:
    """Play a scenario, which `number` tells from others; leaves nothing but logs in the folder."""
    with Stage(
        server,
        side,
        f"chaos_{number}_{side}",
        folder=folder,
        chance=random.Random(seed),  # noqa: S311  # troubles, no secrets
        by_proxy=scenario.by_proxy,
        gates=scenario.gates,
    ) as stage:
        if scenario.before:
            scenario.before(stage)
        stage.create_users(scenario.rate, slow=scenario.slow)
        wait_for(lambda: stage.rows(LOGS)[0][0] > scenario.rate)
        # What is measured is time that passes.
        well = time.time()
        time.sleep(WELL if with_pace else BRIEFLY)
        began = time.time()
        stage.say("trouble")
        scenario.trouble(stage, scenario.seconds)
        over = time.time()
        stage.say("over")
        time.sleep(LATER + AFTERWARDS if with_pace else BRIEFLY)
        ended = time.time()
        stage.create_no_more_users()
        _wait_for_the_end(stage)
        stage.say("waited for all jobs")
        for (line,) in stage.rows(query_of("left")):
            stage.say(line)
        verdict = verdict_of(server, stage.database)
        stage.wait_until_all_have_started()
        statuses = stage.stop(*stage.workers)
        stage.say("stopped")
        return Outcome(
            scenario.name,
            side,
            verdict,
            _pace(stage, well, began, over, ended) if with_pace else None,
            stage.deserters,
            statuses,
            first_log_within=scenario.first_log_within,
            story=stage.story,
        )


def _pace(stage: Stage, well: float, began: float, over: float, ended: float) -> Pace:
    moments = {"well": well, "began": began, "over": over, "later": over + LATER, "ended": ended}
    with (
        stage.server.connect(stage.database) as session,
        session.cursor(row_factory=class_row(Pace)) as cursor,
    ):
        pace = cursor.execute(query_of("pace"), moments).fetchone()
    assert pace is not None
    return pace


def verdict_of(server: PostgresServer, database: str) -> Verdict:
    [row] = server.rows(database, query_of("verdict"))
    return Verdict(*row)


def _wait_for_the_end(stage: Stage) -> None:
    """Wait until all jobs are done, or will not be."""
    deadline = time.monotonic() + PATIENCE
    wait_for(
        lambda: (
            stage.rows(UNFINISHED) == [(0,)]
            or not stage.has_workers()
            or time.monotonic() > deadline
        ),
        seconds=2 * PATIENCE,
    )
