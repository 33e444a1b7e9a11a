"""The browsers that somebody is signed in in, and signing out of them from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import Case, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from palyra_site.access.browsers import in_words
from palyra_site.access.records import SESSION_ENDED, SIGNED_OUT
from palyra_site.access.sessions import NOWHERE, end_session, end_sessions, sessions_of

# More are counted, and can be signed out together.
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A browser in which somebody is signed in. `address` is empty where nobody noted it."""

    key: int
    browser: str
    address: str
    since: datetime
    last_used: datetime
    is_this_one: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Those of the latest use, this one first, and how many there are."""

    shown: Sequence[Device]
    count: int


def devices_of(user: User, this_session: str | None) -> Devices:
    """Where `user` is signed in, seen from the browser of `this_session`."""
    found = sessions_of(user)
    others_later = Case(When(session_key=this_session or "", then=0), default=1)
    ordered = found.order_by(others_later, *found.query.order_by)[:MOST_SHOWN]
    shown = [
        Device(
            key=row.pk,
            browser=in_words(row.user_agent),
            address="" if row.ip == NOWHERE else row.ip,
            since=row.created_at,
            last_used=row.last_seen_at,
            is_this_one=row.session_key == this_session,
        )
        for row in ordered
    ]
    return Devices(shown=shown, count=found.count())


@login_required
@require_POST
def sign_out_elsewhere(request: HttpRequest) -> HttpResponse:
    """End every other session of one's own."""
    from governance.audit import record  # noqa: PLC0415

    user = cast(User, request.user)
    ended = end_sessions(user, but=request.session.session_key)
    record(SIGNED_OUT, user, {"sessions ended": [None, ended]})
    sessions = "1 session" if ended == 1 else f"{ended} sessions"
    messages.success(request, f"Signed out elsewhere: {sessions}. This one goes on.")
    return redirect("mfa_index")


@login_required
@require_POST
def sign_out_one(request: HttpRequest, key: int) -> HttpResponse:
    """End another session of one's own; this one ends by signing out."""
    from governance.audit import record  # noqa: PLC0415

    user = cast(User, request.user)
    session = sessions_of(user).filter(pk=key).first()
    if session is None or session.session_key == request.session.session_key:
        raise Http404
    browser = in_words(session.user_agent)
    record(SESSION_ENDED, user, {"browser": [browser, None], "address": [session.ip, None]})
    end_session(session)
    messages.success(request, f"{browser} is signed out.")
    return redirect("mfa_index")
