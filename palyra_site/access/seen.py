"""Notes when and from where each session was last used, every few minutes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cachetools import TTLCache
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from palyra_site.access.sessions import note

EVERY = timedelta(minutes=5)
# Sessions that this process noted lately, so that most requests ask nothing and write nothing.
MOST_REMEMBERED = 10_000
_lately: TTLCache[str, bool] = TTLCache(MOST_REMEMBERED, EVERY.total_seconds())
_remembering = threading.Lock()
logger = logging.getLogger("palyra.access")


class SeenMiddleware:
    """Notes whose session a request belongs to, once it is answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer."""
        response = self._get_response(request)
        # What did not ask whose session it is, such as a file, is no use of it.
        if request.session.accessed and request.session.session_key:
            note_now_and_then(request, request.user)
        return response


def signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    """Note a session as it begins."""
    if not request.session.session_key:
        request.session.save()
    note_now_and_then(request, user)


def note_now_and_then(request: HttpRequest, user: Any) -> None:
    """Note the session of `request` as used by `user`, unless this process did lately."""
    key = str(request.session.session_key)
    with _remembering:
        if key in _lately:
            return
    if not user.is_authenticated:
        return
    try:
        with transaction.atomic():
            note(request, user, timezone.now())
    except DatabaseError:
        # Not worth a page: it is tried again with the next.
        logger.warning("A session's last use could not be noted", exc_info=True)
        return
    with _remembering:
        _lately[key] = True
