"""Settings, read from the environment: the README's table explains each variable.

With DATABASE_URL unset this is a development checkout: an embedded PostgreSQL starts on first use
and a secret key is made and kept in .secret_key. With DATABASE_URL set, SECRET_KEY is required.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF
from environs import Env, validate

from project.environment import database, known_time_zone, secret_key

# Lets generic classes of Django's name their model at run time, as the type checker wants it.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
AT_LEAST_ONE = validate.Range(min=1)

DATABASES = {"default": database(env, BASE_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SECRET_KEY = secret_key(env, BASE_DIR)
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Behind a proxy that ends TLS, the scheme and the visitor's address are what uvicorn has from the
# proxies named in FORWARDED_ALLOW_IPS. SECURE_PROXY_SSL_HEADER would believe everybody.
HTTPS = env.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True  # forms carry the token
HSTS_SECONDS = env.int("HSTS_SECONDS", default=365 * 24 * 3600, validate=validate.Range(min=0))
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_INCLUDE_SUBDOMAINS", default=True)
# For the owner of the whole domain to decide, as it is hard to undo: https://hstspreload.org/
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = [] if SECURE_HSTS_PRELOAD else ["security.W021"]

# No inline script or style, no eval, nothing from elsewhere, in no page of ours or of the admin:
# https://django-csp.readthedocs.io/en/latest/configuration.html
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "connect-src": [SELF],
        # Pico's icons are data URLs in its style sheet.
        "img-src": [SELF, "data:"],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}

INSTALLED_APPS = [
    "project.apps.ProjectConfig",
    # Before Procrastinate's, whose command of the same name it extends.
    "joblogs",
    "joblogs.engine.apps.EngineConfig",
    "accounts",
    "project.apps.AdminConfig",
    "project.apps.LoginsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    # First, so that redirects, refusals, errors and static files have these headers, too.
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "project.charset.CharsetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",
    "project.errors.DatabaseOutageMiddleware",
]

ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    # Lets nobody in, but refuses those who have failed too often.
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in {
        "UserAttributeSimilarityValidator": {},
        "MinimumLengthValidator": {"min_length": 12},
        "CommonPasswordValidator": {},
        "NumericPasswordValidator": {},
    }.items()
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
SESSION_ENGINE = "project.session_store"
# Counted from the login, whatever happens in the session: see project/sessions.py.
SESSION_COOKIE_AGE = env.int("SESSION_HOURS", default=12, validate=AT_LEAST_ONE) * 3600

# How often one may fail to log in: see project/throttle.py.
AXES_HANDLER = "project.throttle.Throttle"
AXES_FAILURE_LIMIT = env.int("LOGIN_ATTEMPTS", default=5, validate=AT_LEAST_ONE)
AXES_COOLOFF_TIME = timedelta(
    minutes=env.int("LOGIN_LOCK_MINUTES", default=15, validate=validate.Range(1, 60 * 24 * 365))
)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "project.throttle.client_address"
AXES_LOCKOUT_CALLABLE = "project.throttle.locked_page"
# An attempt while the lock lasts does not prolong it.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# The pages are in project/admin.py, the lines of the log in project/throttle.py.
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC", validate=known_time_zone)
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "project.storage.CollectedStaticFilesStorage",
    },
}
# In development, files are served from where they are written.
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# Job arguments whose names contain one of these words are masked wherever they are shown or logged.
JOBLOGS_REDACTED_ARGUMENTS = [
    *("passw", "pwd", "passphrase", "secret", "token", "jwt", "bearer", "signature", "dsn"),
    *("api_key", "access_key", "private_key", "signing_key", "encryption_key", "ssh_key"),
    *("credential", "authorization", "cookie", "session"),
    *filter(None, map(str.strip, env.list("REDACTED_ARGUMENTS", default=[]))),
]
# Flags of `manage.py procrastinate worker` override these.
PROCRASTINATE_WORKER_DEFAULTS = {
    "concurrency": 10,
    # Below the 30 s that container platforms commonly grant between SIGTERM and SIGKILL.
    "shutdown_graceful_timeout": 25.0,
    # The jobs of a worker that died run again within 25 s: its heartbeat is old by 20 s, and every
    # worker looks every 5 s. Stock workers, which send theirs every 10 s, are given twice as long.
    "update_heartbeat_interval": 5.0,
    "stalled_worker_timeout": 20.0,
}
# A job that was running in so many workers when they died fails, and does not end another one.
JOBLOGS_MOST_DEATHS = env.int("MOST_DEATHS", default=3, validate=AT_LEAST_ONE)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "class": "project.logs.LineFormatter",
            "format": "{asctime}.{msecs:03.0f} {levelname} {name}: {message}",
            "style": "{",
            "datefmt": "%Y-%m-%d %H:%M:%S",
        },
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
        },
    },
    "loggers": {
        # What it did to its table; who failed to log in is said by project/throttle.py.
        "axes": {"level": "WARNING"},
        # What they say at INFO, at the start of every command, is about the code and not the jobs.
        "procrastinate.blueprints": {"level": "WARNING"},
        "procrastinate.periodic": {"level": "WARNING"},
    },
    "root": {"handlers": ["stderr"], "level": env.log_level("LOG_LEVEL", default=logging.INFO)},
}
