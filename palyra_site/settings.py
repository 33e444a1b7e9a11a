"""Django's settings, derived from the checked `Configuration`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import django_stubs_ext

from palyra_site import configuration as palyra_configuration
from palyra_site.access.settings import APPS as ACCESS_APPS
from palyra_site.access.settings import YEAR, access_settings
from palyra_site.console.settings import UNFOLD  # noqa: F401 - a setting
from palyra_site.keyfiles import read_or_create

# Lets Django's generic classes be written with their type arguments, as mypy wants them.
django_stubs_ext.monkeypatch()

CONFIGURATION = palyra_configuration.read()
# What this process is for: `up` starts each child with its role. It decides the database pool.
ROLE = os.environ.get("PALYRA_ROLE", "command")

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = CONFIGURATION.data_dir
SECRET_KEY = CONFIGURATION.secret_key or read_or_create(
    DATA_DIR / "secret.key", lambda: secrets.token_urlsafe(48)
)
# Where none is given, Palyra's own file counts; `preflight` makes it while nothing is encrypted.
PALYRA_VAULT_KEY = CONFIGURATION.vault_key
PALYRA_VAULT_KEY_PATH = DATA_DIR / "vault.key"
PALYRA_OWN_FILES = CONFIGURATION.own_files
PALYRA_OWNER_TIMEOUT = CONFIGURATION.owner_timeout
PALYRA_REQUEST_BODY_LIMIT = CONFIGURATION.request_body_limit
PALYRA_PUBLIC_URL = CONFIGURATION.public_url
# Shared by several processes: the queue (below), and the answers kept for a moment.
PALYRA_REDIS_URL = CONFIGURATION.redis_url
PALYRA_ENVIRONMENT_PROXIES = CONFIGURATION.environment_proxies
PALYRA_CA_FILE = CONFIGURATION.ca_file
# In days, by what is kept; 0 is for ever.
PALYRA_RETENTION = CONFIGURATION.retention
# Alerts are sent by e-mail only where a server is given.
PALYRA_EMAIL = bool(CONFIGURATION.email)
globals().update({**CONFIGURATION.email, "EMAIL_TIMEOUT": 15})
DEFAULT_FROM_EMAIL = CONFIGURATION.email_from

DEBUG = CONFIGURATION.debug
ALLOWED_HOSTS = list(CONFIGURATION.allowed_hosts)
CSRF_TRUSTED_ORIGINS = [CONFIGURATION.public_url]

INSTALLED_APPS = [
    "palyra_site.apps.PalyraSiteConfig",
    "unfold.apps.BasicAppConfig",
    "palyra_site.console.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *ACCESS_APPS,
    "ninja",
    "django_q",
    "providers",
    "governance",
    "scheduling",
]

MIDDLEWARE = [
    # First, so that what any of the others refuses under /api/ is a problem as well.
    "palyra_site.api.middleware.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "palyra_site.content_security.ContentSecurityMiddleware",
    "palyra_site.nul.NulMiddleware",
    "palyra_site.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "palyra_site.access.seen.SeenMiddleware",
    "governance.audit.middleware.ActingMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "palyra_site.access.two_step.RequiredMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "palyra_site.urls"
ASGI_APPLICATION = "palyra_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "palyra_site" / "templates"],
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


def _database() -> dict[str, Any]:
    database = dict(CONFIGURATION.database)
    options = dict(database.get("OPTIONS", {}))
    if database["ENGINE"].endswith("sqlite3"):
        # FULL: a committed hold survives a power cut. IMMEDIATE: writers queue instead of failing.
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
        database["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    elif ROLE == "web":
        # ASGI serves each request on a thread of its own, so connections are pooled, not kept.
        options["pool"] = {"min_size": 1, "max_size": 10, "timeout": 10}
    else:
        # A pool does not survive the worker's forks; kept connections do, checked before use.
        database |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    return {**database, "OPTIONS": options}


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASE_ROUTERS: list[str] = []

# django-q2 executes, nothing more: attempts, schedules and results are Palyra's own. The values are
# explained in docs/design.md, "The worker".
Q_CLUSTER: dict[str, Any] = {
    "name": "palyra",
    "workers": CONFIGURATION.worker_count,
    "timeout": 900,
    "retry": 3600,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.05,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "recycle": 10_000,
    "scheduler": False,
    "catch_up": False,
    "label": "Queue",
    "log_level": "WARNING",
}
if CONFIGURATION.redis_url:
    Q_CLUSTER["redis"] = CONFIGURATION.redis_url
else:
    Q_CLUSTER["orm"] = "default"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
globals().update(access_settings(CONFIGURATION))
PALYRA_REQUIRE_TWO_STEP: str = CONFIGURATION.require_two_step
PALYRA_OIDC_DOMAINS: tuple[str, ...] = CONFIGURATION.oidc.domains if CONFIGURATION.oidc else ()
# How long browsers remember to come by https only; 0 where Palyra is not reached by it.
PALYRA_HSTS_SECONDS: int = YEAR if CONFIGURATION.public_url.startswith("https://") else 0

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "palyra_site" / "static"]
# Files are served from the packages themselves: no collectstatic step to forget.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DEFAULT_EXCEPTION_REPORTER_FILTER = "palyra_site.error_pages.SecretsStayIn"
DATA_UPLOAD_MAX_MEMORY_SIZE = CONFIGURATION.request_body_limit
# A form that picks models sends a field for each: more than `MOST_PICKED`, with the form's own.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5100

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": CONFIGURATION.log_level},
    "loggers": {
        # One line a request is more than an operator wants, and httpx would log whole addresses.
        "httpx": {"level": "WARNING"},
        "uvicorn.access": {"level": "WARNING"},
        "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    },
}
