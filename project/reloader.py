"""Run a command, and run it anew when code changes: what `manage.py dev` runs its processes with.

Unlike other reloaders it ends when the command ends by itself, with the command's exit status
(128+n after signal n), and when `manage.py dev` is gone.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import PythonFilter, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

# An error this soon after a change is taken for a slip in that change. On a busy machine it takes a
# while until Python comes to the slip.
SLIP = 60.0
# A command that is asked to stop has this long.
PATIENCE = 10.0
LOOK_EVERY_MS = 200


class Reloader:
    """Runs `command` while the process `owner` lives."""

    def __init__(self, command: Sequence[str], owner: int) -> None:
        self.command = command
        self.owner = owner
        self.stopping = threading.Event()
        self.changed_at = -SLIP
        self.child: subprocess.Popen[bytes] | None = None

    def run(self, paths: Sequence[Path]) -> int:
        """Return the command's exit status when there is nothing left to wait for."""
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        self.start()
        for changes in watch(
            *paths,
            watch_filter=PythonFilter(extra_extensions=(".html",)),
            stop_event=self.stopping,
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
        ):
            if not _exists(self.owner):
                return self.stop()
            if changes:
                print(f"{Path(min(changes)[1]).name} changed, starting again", flush=True)
                self.stop()
                self.changed_at = time.monotonic()
                if not self.stopping.is_set():
                    self.start()
            elif self.child and (status := self.child.poll()) is not None:
                if status <= 0 or time.monotonic() - self.changed_at > SLIP:
                    return _for_the_shell(status)
                print(f"stopped with status {status}, waiting for the next change", flush=True)
                self.child = None
        # Whoever signalled us has signalled the command too, as it is in our process group;
        # a second signal could cut its orderly end short.
        return self.wait()

    def start(self) -> None:
        self.child = subprocess.Popen(self.command)  # noqa: S603 (our own command line)

    def stop(self) -> int:
        if self.child:
            self.child.terminate()
        return self.wait()

    def wait(self) -> int:
        if self.child is None:
            return 0
        try:
            return _for_the_shell(self.child.wait(PATIENCE))
        except subprocess.TimeoutExpired:
            self.child.kill()
            return _for_the_shell(self.child.wait())


def _for_the_shell(status: int) -> int:
    return status if status >= 0 else 128 - status


def _exists(pid: int) -> bool:
    try:
        # Linux: one that was killed and not yet waited for is gone, too.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--watch", type=Path, action="append", required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return Reloader(options.command, options.owner).run(options.watch)


if __name__ == "__main__":
    sys.exit(main())
