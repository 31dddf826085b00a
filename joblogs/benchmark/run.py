"""One call of `manage.py benchmark`, from making its databases to its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joblogs.benchmark import backlog, drain, enqueue, latency
from joblogs.benchmark.report import Report
from joblogs.benchmark.server import Server
from joblogs.benchmark.sides import both_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BENCHMARKS: Mapping[str, Callable[..., None]] = {
    "drain": drain.run,
    "enqueue": enqueue.run,
    "latency": latency.run,
    "backlog": backlog.run,
}
BY_PGBENCH = ("drain", "enqueue")


def run(
    benchmark: str, command: str, only: str, options: dict[str, Any], say: Callable[[str], None]
) -> Report:
    """Run a benchmark and return its report. Raises BenchmarkError."""
    server = Server.in_use()
    if benchmark in BY_PGBENCH:
        server.pgbench()  # missing: known at once
    if benchmark == "backlog":
        options.setdefault("finished", options["jobs"])
    say("making the databases")
    with both_sides(server) as sides:
        report = Report(benchmark, command, server.environment(sides[0].database), only)
        BENCHMARKS[benchmark](sides, report, say, **options)
    return report
