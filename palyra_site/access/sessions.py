"""Where somebody is signed in, and ending that.

Django's sessions do not say in the open whose they are; allauth's rows beside them do, by an index.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

AT_A_TIME = 500
# Of a session whose address nobody noted; it is none that anybody comes from.
NOWHERE = "0.0.0.0"  # noqa: S104
LONGEST_BROWSER = 200


def _rows() -> QuerySet[Any]:
    from allauth.usersessions.models import UserSession  # noqa: PLC0415 - once there are models

    found: QuerySet[Any] = UserSession.objects.all()
    return found


def sessions_of(user: User) -> list[Any]:
    """The sessions in which `user` is signed in, that of the latest use first."""
    rows = list(_rows().filter(user=user).order_by("-last_seen_at", "-pk"))
    going_on = Session.objects.filter(expire_date__gt=timezone.now())
    keys = {row.session_key for row in rows}
    alive = set(going_on.filter(pk__in=keys).values_list("pk", flat=True))
    return [row for row in rows if row.session_key in alive]


def end_sessions(user: User, *, but: str | None = None) -> int:
    """End them all, `but` one; returns how many."""
    ended = [row.session_key for row in sessions_of(user) if row.session_key != but]
    Session.objects.filter(pk__in=ended).delete()
    # Also of those that have run out since.
    _rows().filter(user=user).exclude(session_key=but or "").delete()
    return len(ended)


def end_session(session: Any) -> None:
    """End one of them."""
    Session.objects.filter(pk=session.session_key).delete()
    session.delete()


def note(request: HttpRequest, user: User, now: datetime) -> None:
    """Remember when, from where and in what a session of `user` was used."""
    seen = {"last_seen_at": now, "ip": address_of(request), "user_agent": _browser(request)}
    _rows().update_or_create(
        session_key=request.session.session_key,
        defaults={"user": user, **seen},
        create_defaults={"user": user, "created_at": now, **seen},
    )


def address_of(request: HttpRequest) -> str:
    """The address that `request` comes from, as every database stores it."""
    try:
        # Without the interface that an address of this very network may name.
        return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0]))
    except ValueError:
        return NOWHERE


def _browser(request: HttpRequest) -> str:
    said: str = request.META.get("HTTP_USER_AGENT", "")
    return said[:LONGEST_BROWSER]


def forget_ended(user: User) -> None:
    """Delete what is remembered of this person's sessions that are over."""
    alive = [row.pk for row in sessions_of(user)]
    _rows().filter(user=user).exclude(pk__in=alive).delete()


def know_all(using: str = "default", **_: Any) -> None:
    """Make a row for each session that goes on, if there is none yet: those that began before
    there were rows. Idempotent; after migrations."""
    if _rows().using(using).exists():
        return
    people = set(User.objects.using(using).values_list("pk", flat=True))
    going_on = Session.objects.using(using).filter(expire_date__gt=timezone.now())
    for session in going_on.order_by("pk").iterator(chunk_size=AT_A_TIME):
        whose = str(session.get_decoded().get(SESSION_KEY, ""))
        if whose.isdecimal() and int(whose) in people:
            _rows().using(using).create(
                user_id=int(whose), session_key=session.pk, ip=NOWHERE, user_agent=""
            )
