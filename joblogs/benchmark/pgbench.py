"""PostgreSQL's own load generator, on scripts that send what Joblogs and Procrastinate send."""

from __future__ import annotations

import re
import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from joblogs.benchmark.children import run, running
from joblogs.benchmark.server import SQL, BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblogs.benchmark.sides import Side

THREADS = 2


def transactions_per_second(
    side: Side,
    *scripts: str,
    clients: int,
    seconds: int | None = None,
    transactions: int | None = None,
    **variables: object,
) -> float:
    """Run scripts as one, for some time or so often a client; return how often a second."""
    until = ["-T", str(seconds)] if seconds else ["-t", str(transactions)]
    until += [f"--define={name}={value}" for name, value in variables.items()]
    command = _command(side, _text(*scripts), clients, until)
    done = run(command)
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: ([1-9]\d*)", done.stdout, re.MULTILINE)
    if done.returncode or not rate or failed:
        said = " ".join(done.stderr.split()) or "nothing said"
        raise BenchmarkError(f"pgbench failed with {', '.join(scripts)}: {said[:500]}")
    return float(rate[1])


@contextmanager
def every(milliseconds: int, side: Side, script: str, *, clients: int) -> Iterator[None]:
    """Meanwhile run a script at this pace, on as many connections of their own."""
    text = _text(script) + f"\\sleep {milliseconds} ms\n"
    command = _command(side, text, clients, ["-T", "3600"])
    nowhere = subprocess.DEVNULL
    with running(command, stdout=nowhere, stderr=nowhere) as beside:
        yield
        if beside.poll() is not None:
            raise BenchmarkError(f"pgbench failed with {script}.")


def _text(*scripts: str) -> str:
    return "".join((SQL / script).read_text() for script in scripts)


def _command(side: Side, text: str, clients: int, more: list[str]) -> list[str]:
    descriptor, file = tempfile.mkstemp(dir=side.folder, suffix=".sql")
    with open(descriptor, "w") as script:  # noqa: PTH123  # it is open already
        script.write(text)
    how = ["--no-vacuum", "--protocol=simple", f"-c{clients}", f"-j{min(clients, THREADS)}"]
    return [side.server.pgbench(), *how, *more, "-f", file, side.server.url(side.database)]
