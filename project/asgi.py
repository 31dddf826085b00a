"""The web server's entry point: uvicorn project.asgi:application."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Under ASGI each request runs in a thread of its own, so a connection kept per thread would be
# opened anew for every request; a pool keeps them open.
os.environ.setdefault("DATABASE_POOL_SIZE", "10")

application = get_asgi_application()
