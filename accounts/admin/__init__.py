"""Users and groups in the admin."""

from __future__ import annotations

from accounts.admin.groups import GroupAdmin
from accounts.admin.users import UserAdmin

__all__ = ["GroupAdmin", "UserAdmin"]
