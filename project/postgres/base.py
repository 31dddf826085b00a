"""Django's PostgreSQL backend, which starts the embedded server when there is no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from django.db.backends.postgresql import base
from psycopg_pool import PoolTimeout

from project.postgres.client import DatabaseClient
from project.postgres.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from pathlib import Path

    from project.postgres.embedded import EmbeddedPostgres


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    @property
    def embedded(self) -> EmbeddedPostgres | None:
        """The server of this checkout, if settings name none: its folder is under EMBEDDED."""
        folder: Path | None = self.settings_dict.get("EMBEDDED")
        if folder is None:
            return None
        # Not imported, and not needed, with a server of one's own.
        from project.postgres.embedded import server_in

        return server_in(folder)

    def get_connection_params(self) -> dict[str, Any]:
        """Return psycopg's parameters; those of the embedded server are of one that runs."""
        params: dict[str, Any] = super().get_connection_params()
        if self.embedded:
            from project.postgres.runtime import PORT

            params["host"] = str(self.embedded.ensure_running())
            params["port"] = PORT
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, or raise DatabaseUnreachable, which says where to and why not in one line."""
        try:
            try:
                return super().get_new_connection(conn_params)
            except psycopg.OperationalError:
                if self.embedded is None:
                    raise
            # It stopped a moment ago, or lost its database.
            self.embedded.ensure_running(suspect=True)
            return super().get_new_connection(self.get_connection_params())
        except PoolTimeout as error:
            raise DatabaseUnreachable.at(conn_params, _reason(error, conn_params)) from error
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable.at(conn_params, error) from error


def _reason(timeout: PoolTimeout, conn_params: dict[str, Any]) -> psycopg.OperationalError:
    """Learn what the pool does not tell: why no connection can be made, if none can."""
    try:
        psycopg.connect(**conn_params | {"connect_timeout": 2}).close()
    except psycopg.OperationalError as error:
        return error
    return timeout
