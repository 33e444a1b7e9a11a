"""Where somebody is signed in, and ending that."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone

AT_A_TIME = 500


def sessions_of(user: User) -> list[str]:
    """The keys of the sessions in which `user` is signed in.

    Sessions do not say in the open whose they are, so all that go on are read.
    """
    return list(_keys(str(user.pk)))


def _keys(wanted: str) -> Iterator[str]:
    going_on = Session.objects.filter(expire_date__gt=timezone.now()).order_by("pk")
    for session in going_on.iterator(chunk_size=AT_A_TIME):
        if str(session.get_decoded().get(SESSION_KEY, "")) == wanted:
            yield session.pk


def end_sessions(user: User, *, but: str | None = None) -> int:
    """End them all, `but` one; returns how many."""
    keys = [key for key in sessions_of(user) if key != but]
    Session.objects.filter(pk__in=keys).delete()
    return len(keys)
