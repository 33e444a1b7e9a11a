"""Says who acts in a request to the console, the team pages or the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from governance.acting import API, CONSOLE, SIGN_IN, TEAM_PAGES, Acting, acting
from governance.actors import Actor

NOBODY = "nobody signed in"


class ActingMiddleware:
    """Behind the one that finds the request's user, whom it looks at once something changes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with acting(lambda: who(request)):
            return self.get_response(request)


def who(request: HttpRequest) -> Acting:
    """Whose request it is: a key's or a person's."""
    actor = getattr(request, "auth", None)
    address = request.META.get("REMOTE_ADDR", "")
    if isinstance(actor, Actor) and actor.key is not None:
        return Acting(actor=f"API key {actor.key}", surface=API, address=address)
    person: Any = request.user
    return Acting(
        actor=person.get_username() or NOBODY,
        user_id=person.pk,
        surface=API if actor is not None else _pages(request),
        address=address,
    )


def _pages(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is None:
        return TEAM_PAGES
    if match.route.startswith("account/"):
        return SIGN_IN
    return CONSOLE if "admin" in match.app_names else TEAM_PAGES
