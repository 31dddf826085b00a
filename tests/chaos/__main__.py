"""Play all scenarios, or some, and print a row for each: python -m tests.chaos --help."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.play import play
from tests.chaos.scenarios import SCENARIOS, soak
from tests.chaos.server import PostgresServer
from tests.chaos.stage import prepare
from tests.chaos.table import table

if TYPE_CHECKING:
    from tests.chaos.play import Outcome
    from tests.chaos.scenarios import Scenario
    from tests.chaos.stage import Side


def main() -> int:
    """Return the exit status: 1 if Joblogs lost something, or did it twice."""
    options = _options()
    scenarios = [*SCENARIOS, soak(options.soak, options.seed)] if options.soak else SCENARIOS
    chosen = [each for each in scenarios if any(text in each.name for text in options.only)]
    sides: list[Side] = ["joblogs", "stock"] if options.stock else ["joblogs"]
    print(f"Seed {options.seed}, logs in {options.logs}", flush=True)
    pairs: list[tuple[Outcome, Outcome | None]] = []
    with PostgresServer() as server:
        for side in sides:
            prepare(server, side, options.logs)
        try:
            for number, scenario in enumerate(chosen):
                outcomes = [
                    _play(scenario, server, side, options.logs, number, options.seed)
                    for side in sides
                ]
                pairs.append((outcomes[0], outcomes[1] if len(outcomes) > 1 else None))
                (options.logs / "table.md").write_text(table(pairs) + "\n")
        finally:
            print(f"\n{table(pairs)}", flush=True)
    return int(any(ours.losses for ours, _ in pairs))


def _play(
    scenario: Scenario, server: PostgresServer, side: Side, folder: Path, number: int, seed: int
) -> Outcome:
    started = time.monotonic()
    outcome = play(scenario, server, side, folder=folder, number=number, seed=seed, with_pace=True)
    survived = ", ".join(outcome.faults) or "survived"
    print(f"{scenario.name} [{side}, {time.monotonic() - started:.0f} s]: {survived}", flush=True)
    if outcome.faults:
        print(*outcome.story, sep="\n", flush=True)
    return outcome


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--stock", action="store_true", help="play each on stock Procrastinate, too"
    )
    parser.add_argument(
        "--soak", type=float, default=120, metavar="SECONDS", help="the mix's length (120; 0: none)"
    )
    parser.add_argument("--seed", type=int, help="what the chance starts from (by chance)")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="scenarios with one in their names"
    )
    parser.add_argument("--logs", type=Path, help="a folder for the table and all logs")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(1_000_000)
    if options.logs is None:
        options.logs = Path(tempfile.mkdtemp(prefix="joblogs-chaos-logs-"))
    options.logs.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    # So that everything that was started is ended in that case, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
