"""Background jobs for Django on nothing but PostgreSQL."""

from __future__ import annotations

__version__ = "0.1.0"
