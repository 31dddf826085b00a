"""The queues known by name. Workers choose: `manage.py procrastinate worker -q high,default`."""

from __future__ import annotations

from typing import Final

HIGH: Final = "high"
DEFAULT: Final = "default"
LOW: Final = "low"
