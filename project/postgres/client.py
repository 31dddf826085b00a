"""`manage.py dbshell`, which brings its own psql for the embedded server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql import client

if TYPE_CHECKING:
    from collections.abc import Iterable


class DatabaseClient(client.DatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        folder = settings_dict.get("EMBEDDED")
        if folder is None:
            return super().settings_to_cmd_args_env(settings_dict, parameters)
        from project.postgres.binaries import find_installation
        from project.postgres.embedded import server_in
        from project.postgres.runtime import PORT

        address = {"HOST": str(server_in(folder).ensure_running()), "PORT": str(PORT)}
        args, env = super().settings_to_cmd_args_env(settings_dict | address, parameters)
        return [str(find_installation() / "bin" / "psql"), *args[1:]], env
