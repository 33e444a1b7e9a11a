"""Requests to the identity provider: allauth makes them itself, with `requests`."""

from __future__ import annotations

import logging
import ssl
from functools import partial
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter

PATIENCE_SECONDS = 10
LONGEST_REASON = 300
logger = logging.getLogger("palyra.access")


class _Trusting(HTTPAdapter):
    """Trusts the well-known certificate authorities and those of PALYRA_CA_FILE."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, "ssl_context": _context()})

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The same behind a proxy, and towards one that is itself spoken to by https."""
        trusting = {"ssl_context": _context(), "proxy_ssl_context": _context()}
        return super().proxy_manager_for(proxy, **{**kwargs, **trusting})


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(settings.PALYRA_CA_FILE)
    return context


def session() -> requests.Session:
    """A session that gives up in time, follows no redirect and uses proxies as providers do."""
    made = requests.Session()
    made.trust_env = settings.PALYRA_ENVIRONMENT_PROXIES
    made.max_redirects = 0
    if settings.PALYRA_CA_FILE:
        made.mount("https://", _Trusting())
    made.request = partial(made.request, timeout=PATIENCE_SECONDS)  # type: ignore[method-assign]
    return made


def log_failure(error: BaseException | None) -> None:
    """Say why nobody was signed in: to whoever runs Palyra, not to the browser."""
    reason = f"{type(error).__name__}: {error}" if error else "no answer to what was asked"
    logger.warning("Single sign-on failed: %s", reason[:LONGEST_REASON])
