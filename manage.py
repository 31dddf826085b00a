#!/usr/bin/env python
"""Run Joblogs' and Django's commands: python manage.py help."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from environs import EnvError

from project.postgres.errors import DatabaseUnreachable


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError, DatabaseUnreachable) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # What a shell makes of a command ended by Ctrl-C.
        sys.exit(130)
