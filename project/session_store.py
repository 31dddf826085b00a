"""Sessions in Django's table, looked for by nothing that cannot be a session's key."""

from __future__ import annotations

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore


class SessionStore(DatabaseSessionStore):
    def _validate_session_key(self, key: str) -> bool:
        # What a cookie holds can be anything; a NUL would end in an error of the database.
        valid = super()._validate_session_key(key)  # type: ignore[misc]  # not in the stubs
        return bool(valid and key.isascii() and key.isalnum())
