"""Refuses the character NUL where a request names something: PostgreSQL takes it in no text.

A form's fields, and whatever is sent to the APIs, are looked at where they are read, and it is said
which part it is.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

NUL = "\0"
ESCAPED = "%00"
OF_PROGRAMS = ("/api/", "/v1/")
SAYS = "The address has the character NUL in it (%00), which is in the name of nothing here."


class NulMiddleware:
    """Answers 400 to an address with that character, before anything is looked for by it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, or the refusal."""
        if _is_in_address(request):
            return _refusal()
        # Between quotation marks a cookie may have any character. No session's name has this one.
        if NUL in request.COOKIES.get(settings.SESSION_COOKIE_NAME, ""):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        return self._get_response(request)


def _is_in_address(request: HttpRequest) -> bool:
    if request.path.startswith(OF_PROGRAMS):
        return False
    query = request.META.get("QUERY_STRING", "")
    return NUL in request.path or NUL in query or ESCAPED in query


def _refusal() -> HttpResponse:
    # Without the request: who is signed in does not matter, and is not looked up.
    return render(None, "access/bad_request.html", {"says": SAYS}, status=HTTPStatus.BAD_REQUEST)
