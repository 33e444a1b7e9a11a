"""What a page may load, nothing that is not Palyra's own, and that it is to come by https."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"
HSTS = "Strict-Transport-Security"
# The console's Alpine.js compiles the expressions of its attributes, and its components carry
# style attributes; nothing else is let in, and no page may be framed.
POLICY = (
    "default-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class ContentSecurityMiddleware:
    """Gives every page the policy, unless it has a stricter one of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, with its policy."""
        response = self._get_response(request)
        response.headers.setdefault(HEADER, POLICY)
        # Also where a proxy takes the https off before the request gets here.
        if settings.PALYRA_HSTS_SECONDS:
            response.headers.setdefault(HSTS, f"max-age={settings.PALYRA_HSTS_SECONDS}")
        return response
