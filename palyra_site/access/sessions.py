"""Where somebody is signed in, and ending that.

Django's sessions do not say in the open whose they are; allauth's rows beside them do, by an index.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from palyra_site.access.groups import tables_of
from providers.forgetting import Forgotten, GoesOn, forget

AT_A_TIME = 500
NEEDED = {"auth_user", "django_session", "usersessions_usersession"}
# Of a session whose address nobody noted; it is none that anybody comes from.
NOWHERE = "0.0.0.0"  # noqa: S104
LONGEST_BROWSER = 200


def _rows() -> QuerySet[Any]:
    from allauth.usersessions.models import UserSession  # noqa: PLC0415 - once there are models

    found: QuerySet[Any] = UserSession.objects.all()
    return found


def sessions_of(user: User) -> QuerySet[Any]:
    """The sessions in which `user` is signed in, that of the latest use first."""
    return _rows().filter(_goes_on(timezone.now()), user=user).order_by("-last_seen_at", "-pk")


def _goes_on(now: datetime) -> Exists:
    """That a row's session is there, and has not run out."""
    return Exists(Session.objects.filter(pk=OuterRef("session_key"), expire_date__gt=now))


def end_sessions(user: User, *, but: str | None = None) -> int:
    """End them all, `but` one; returns how many."""
    rows = _rows().filter(user=user).exclude(session_key=but or "")
    known = list(rows.values_list("pk", "session_key"))
    ended = 0
    for some in _at_a_time(known):
        sessions = Session.objects.filter(pk__in=[key for _, key in some])
        ended += sessions.filter(expire_date__gt=timezone.now()).count()
        sessions.delete()
        # Just those: one that began meanwhile goes on, and its row says whose it is.
        _rows().filter(pk__in=[row for row, _ in some]).delete()
    return ended


def _at_a_time(all_of_them: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(all_of_them), AT_A_TIME):
        yield all_of_them[start : start + AT_A_TIME]


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


def forget_ended(now: datetime, goes_on: GoesOn) -> Forgotten:
    """Delete what is remembered of sessions that are over, whosever they were."""
    # Whose session is over stays so: its key is never another's.
    return forget(_rows().filter(~_goes_on(now)), goes_on)


def know_all(using: str = "default", **_: Any) -> None:
    """Make a row for each session that goes on and has none: those that began before there were
    rows, or in a process that knew of none. Idempotent; after migrations."""
    if not tables_of(using) >= NEEDED:
        return
    people = set(User.objects.using(using).values_list("pk", flat=True))
    known = _rows().using(using).filter(session_key=OuterRef("pk"))
    going_on = Session.objects.using(using).filter(~Exists(known), expire_date__gt=timezone.now())
    for some in _at_a_time(list(going_on.order_by("pk").values_list("pk", flat=True))):
        found = [(_whose(one), one.pk) for one in going_on.filter(pk__in=some)]
        rows = [
            _rows().model(user_id=user, session_key=key, ip=NOWHERE, user_agent="")
            for user, key in found
            if user in people
        ]
        # Another process may have made one meanwhile.
        _rows().using(using).bulk_create(rows, ignore_conflicts=True)


def _whose(session: Session) -> int | None:
    """The key of the person who is signed in there, if anybody is."""
    said = str(session.get_decoded().get(SESSION_KEY, ""))
    return int(said) if said.isdecimal() else None
