"""What happens to workers, to PostgreSQL, and to what is between them.

Each trouble returns when it is over. Some last as many seconds as they are told.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.chaos.server import CONNECTIONS, FAST, IMMEDIATE, query_of
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.stage import Stage

#: The numbers of the gates in gates.sql.
FETCH, WORK, FINISH, COMMIT = 7001, 7002, 7003, 7004
# Seconds; workers that have lost all their connections need some.
UNTIL_SOMEBODY_COMES = 30.0
# Seconds between two kills of a worker, which takes one or two to start.
BETWEEN_KILLS = 4.0
# Sessions ended per second.
TERMINATIONS = 4.0
CROWD = 300


@contextmanager
def stopped_at(gate: int, stage: Stage) -> Iterator[int]:
    """Stop jobs at a gate until the end of the block; yield the place of a worker that has one.

    It is some worker's if none comes: they may have ended, or not be up again after other troubles.
    """
    with stage.server.connect(stage.database) as session:
        session.execute("SELECT pg_advisory_lock(%s)", [gate])
        names: list[tuple[str]] = []

        def there_are_some() -> bool:
            names[:] = session.execute(query_of("at_gate"), [gate]).fetchall()
            return bool(names) or not stage.has_workers()

        with suppress(AssertionError):
            wait_for(there_are_some, seconds=UNTIL_SOMEBODY_COMES)
        if not names:
            stage.say(f"nobody came to gate {gate}")
        yield int(names[0][0].removeprefix("worker-")) if names else 0


def kill_at(gate: int, stage: Stage) -> None:
    """Kill a worker while PostgreSQL is at one of the steps of a job for it.

    PostgreSQL goes on with what it was asked for, and nobody is there to hear what came of it.
    """
    with stopped_at(gate, stage) as place:
        stage.kill_worker(place)


def kill_again_and_again(stage: Stage, seconds: float) -> None:
    """Kill one of the workers every few seconds; it has hardly started when it is killed again."""
    for _ in lasting(seconds, every=BETWEEN_KILLS):
        stage.kill_worker(0)


def freeze(stage: Stage, seconds: float) -> None:
    """Stop a worker's process amid its jobs, and let it go on as if nothing had been."""
    with stopped_at(WORK, stage) as place:
        process = stage.workers[place].process
        process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def restart_fast(stage: Stage) -> None:
    stop_for(stage, 0, FAST)


def restart_immediately(stage: Stage) -> None:
    stop_for(stage, 0, IMMEDIATE)


def stop_for(stage: Stage, seconds: float, how: signal.Signals = FAST) -> None:
    """Stop PostgreSQL, and start it again so many seconds later."""
    stage.server.stop(how)
    time.sleep(seconds)
    stage.server.start()


def terminate(stage: Stage, seconds: float) -> None:
    """End sessions by pg_terminate_backend, whoever's they are; by turns one that is at a job."""
    for number, _ in enumerate(lasting(seconds, every=1 / TERMINATIONS)):
        if number % 2:
            _terminate(stage, most=1)
        else:
            gate = stage.chance.choice([FETCH, WORK, FINISH, COMMIT])
            with stopped_at(gate, stage):
                stage.rows(query_of("terminate_at_gate"), gate)


def squeeze(stage: Stage, seconds: float) -> None:
    """Let a crowd take all connections, and the workers lose theirs."""
    crowd = stage.run(
        "crowd",
        "-m",
        "tests.chaos.crowd",
        stage.server.url(stage.database, name="crowd"),
        f"{CROWD}",
    )
    try:
        for _ in lasting(seconds, every=1.0):
            _terminate(stage, most=CONNECTIONS, whose="worker-%")
    finally:
        crowd.process.kill()
        crowd.process.wait()


def fall_silent(stage: Stage, seconds: float) -> None:
    """Let the workers' connections become half-open amid a COMMIT, and new ones for some time."""
    with stopped_at(COMMIT, stage):
        stage.proxy.fall_silent(new_ones_too=True)
    time.sleep(seconds)
    stage.proxy.recover()


def fall_silent_once(stage: Stage, seconds: float) -> None:
    """Let the workers' connections become half-open amid the work of a job; new ones work."""
    with stopped_at(WORK, stage):
        stage.proxy.fall_silent(new_ones_too=False)
    time.sleep(seconds)


def fall_silent_and_kill(stage: Stage, seconds: float) -> None:
    """Do the same, then kill a worker whose old sessions PostgreSQL still takes for alive."""
    fall_silent_once(stage, seconds)
    kill_at(WORK, stage)


def _terminate(stage: Stage, *, most: int, whose: str = "%") -> None:
    rows = stage.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND application_name LIKE %s ORDER BY pid",
        whose,
    )
    pids = [pid for (pid,) in rows]
    chosen = stage.chance.sample(pids, min(most, len(pids)))
    stage.rows("SELECT pg_terminate_backend(unnest(%s::int[]))", chosen)


def lasting(seconds: float, *, every: float) -> Iterator[None]:
    """Yield at once and then at this distance, until so many seconds have passed."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        yield
        time.sleep(min(every, max(ends - time.monotonic(), 0)))
