"""A gate at which jobs stop, so that a test can act while they are just there.

It is an advisory lock, which the test holds as long as the gate is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from django.db import connection

from tests.processes import database_url
from tests.waiting import wait_for

if TYPE_CHECKING:
    from typing import LiteralString

KEY = 20_250

# Where PostgreSQL itself stops a job, at what it does for its end.
AT_ITS_END: dict[str, LiteralString] = {
    # In the statement that ends it, in the transaction of its work.
    "ending": "CREATE TRIGGER gate AFTER UPDATE ON procrastinate_jobs FOR EACH ROW"
    " WHEN (new.status = 'succeeded' AND new.task_name LIKE 'tests.engine_processes.%')"
    " EXECUTE FUNCTION stop_at_gate()",
    # In the commit, which began and is not through.
    "commit": "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON effects"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop_at_gate()",
}


def pass_through() -> None:
    """Wait until the gate is open. In a transaction, it cannot be closed until its end."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [KEY])


class Gate:
    def __init__(self) -> None:
        self._connection = psycopg.connect(database_url(), autocommit=True)

    def close(self, *, at: str = "") -> None:
        """Close it; with `at`, one of AT_ITS_END, have PostgreSQL stop jobs there."""
        self._connection.execute("SELECT pg_advisory_lock(%s)", [KEY])
        if at:
            self._connection.execute(
                "CREATE FUNCTION stop_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" PERFORM pg_advisory_xact_lock_shared({KEY});"
                " RETURN NULL; END; $$"
            )
            self._connection.execute(AT_ITS_END[at])

    def open(self) -> None:
        self._connection.execute("SELECT pg_advisory_unlock_all()")

    def visitors(self) -> dict[int, str]:
        """Return the backends that wait here, with the statement that each is at."""
        rows = self._connection.execute(
            "SELECT activity.pid, activity.query FROM pg_locks JOIN pg_stat_activity AS activity"
            " USING (pid) WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
            "   AND datname = current_database()",
            [KEY],
        )
        return dict(rows.fetchall())

    def wait_for_visitors(self, count: int = 1) -> dict[int, str]:
        """Return them once there are so many."""
        wait_for(lambda: len(self.visitors()) == count)
        return self.visitors()

    def end(self) -> None:
        """Open it for good."""
        self.open()
        self._connection.execute("DROP FUNCTION IF EXISTS stop_at_gate() CASCADE")
        self._connection.close()
