"""The web server's entry point: uvicorn project.asgi:application."""

from __future__ import annotations

import os
import sys
import warnings

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

from project.content_type import PlainContentType
from project.healthz import Healthz

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Under ASGI each request runs in a thread of its own, so a connection kept per thread would be
# opened anew for every request; a pool keeps them open.
os.environ.setdefault("DATABASE_POOL_SIZE", "10")

# WhiteNoise hands its files over piece by piece, and Django reads them whole for an asynchronous
# server. That is fine for files of this size, and no news for the log.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")

try:
    application = Healthz(PlainContentType(get_asgi_application()))
except (ImproperlyConfigured, EnvError) as error:
    sys.exit(f"Error: {error}")
