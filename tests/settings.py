"""The project's settings, with what tests do differently."""

from __future__ import annotations

from project.settings import *  # noqa: F403  # all of them
from project.settings import DATABASES, STORAGES

SECRET_KEY = "only for tests"
# Browsers and other visitors of the tests speak plain HTTP.
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
SECURE_HSTS_SECONDS = 0
# No periodic task is ever due, or a worker would do one more job at a certain time of the day.
PROCRASTINATE_PERIODIC_DEFAULTS = {"max_delay": -1}
# Threads come and go in tests; each closes its connection when its work is done.
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Hundreds of passwords are hashed, and none is worth a second.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Static files as they are written: nothing was collected.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
}
