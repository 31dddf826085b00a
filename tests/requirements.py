"""What some tests need of the machine; they are skipped where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.pgbouncer import PROGRAM

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch accounts")
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/cwd").exists(), reason="processes are found by way of /proc"
)
needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="there is no pgbouncer (Debian package pgbouncer)"
)
