"""Who may enter the JSON API: a team's key, or a person signed in."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from governance import keys
from governance.actors import Actor
from governance.models import ApiKey

CHALLENGE = 'Bearer realm="Palyra"'


class NotAuthenticated(Exception):
    """Nobody that Palyra knows sent this; `challenge` is the WWW-Authenticate header."""

    def __init__(self, message: str, *, key_refused: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.challenge = f'{CHALLENGE}, error="invalid_token"' if key_refused else CHALLENGE


class TeamKey(HttpBearer):
    """`Authorization: Bearer ply_…`: speaks for the team the key belongs to."""

    openapi_bearerFormat = "ply_<public id>_<secret>"  # noqa: N815 - OpenAPI's own name

    def __call__(self, request: HttpRequest) -> Actor | None:
        """The team's key that was sent, or None if no Authorization header was."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated("Send the key as “Authorization: Bearer ply_…”.")
        return self.authenticate(request, text.strip())

    def authenticate(self, request: HttpRequest, token: str) -> Actor:
        """Raises `NotAuthenticated` unless `token` is a key that may be used now. One query."""
        parsed = keys.parse(token)
        key = _find(parsed) if parsed else None
        if key is None:
            raise NotAuthenticated("This is not a key that Palyra knows.")
        # Only who has the whole key is told what became of it.
        fault = _why_unusable(key, timezone.now())
        if fault:
            raise NotAuthenticated(fault)
        return Actor(key=key)


class SignedIn(APIKeyCookie):
    """A person's session, as the console and the team pages make it. Writes need the CSRF token."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Actor | None:
        """The person signed in, or None; raises `PermissionDenied` without the CSRF token."""
        # In this order, so that a stranger is told to sign in and not about a token.
        actor = self.authenticate(request, None)
        if actor is not None and check_csrf(request) is not None:
            raise PermissionDenied(
                "A request by session needs the CSRF token in the X-CSRFToken header."
            )
        return actor

    def authenticate(self, request: HttpRequest, key: str | None) -> Actor | None:
        """The person of the request's session, if there is one."""
        return Actor(person=request.user) if request.user.is_authenticated else None


def _find(parsed: keys.ParsedKey) -> ApiKey | None:
    key: ApiKey | None = (
        ApiKey.objects.filter(public_id=parsed.public_id).select_related("team").first()
    )
    return key if key and keys.matches(parsed.secret, key.secret_hash) else None


def _why_unusable(key: ApiKey, now: datetime) -> str | None:
    if key.revoked_at is not None:
        return f"This key was revoked on {key.revoked_at:%Y-%m-%d}. Use another one of the team's."
    if key.expires_at is not None and key.expires_at <= now:
        return f"This key expired on {key.expires_at:%Y-%m-%d}. Make a new one."
    if not key.team.enabled:
        return "This key's team is disabled. Ask an administrator to enable it."
    return None
