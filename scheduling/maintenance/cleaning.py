"""Deleting what nobody can use any more.

What rooms above keep they register here, when they are ready, with how to delete it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.sessions.models import Session
from django_q.models import Task

from governance.listing import listed
from governance.models import ProcessHeartbeat
from providers.forgetting import Forgotten, GoesOn, forget
from scheduling.maintenance.turn import Turn
from scheduling.maintenance.words import counted

# A machine may sleep for days with Palyra on it, and its processes are alive afterwards.
PROCESS_KEPT = timedelta(days=7)
TASK_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One kind of thing: what one and many are called, and what deletes those that nobody can use
    any more at some time, as long as it may go on."""

    nouns: tuple[str, str]
    forget: Callable[[datetime, GoesOn], Forgotten]


def _forget_sessions(now: datetime, goes_on: GoesOn) -> Forgotten:
    return forget(Session.objects.filter(expire_date__lt=now), goes_on)


def _forget_processes(now: datetime, goes_on: GoesOn) -> Forgotten:
    return forget(ProcessHeartbeat.objects.filter(seen_at__lt=now - PROCESS_KEPT), goes_on)


def _forget_tasks(now: datetime, goes_on: GoesOn) -> Forgotten:
    return forget(Task.objects.filter(stopped__lt=now - TASK_KEPT), goes_on)


OWN = (
    Leftover(nouns=("expired session", "expired sessions"), forget=_forget_sessions),
    Leftover(nouns=("ended process", "ended processes"), forget=_forget_processes),
    Leftover(nouns=("record of a task", "records of tasks"), forget=_forget_tasks),
)
_registered: dict[tuple[str, str], Leftover] = {}


def register_leftover(leftover: Leftover) -> None:
    """Have it deleted from now on, after what is Palyra's own; once, however often it is told."""
    _registered[leftover.nouns] = leftover


def clean(turn: Turn) -> str:
    """Delete expired sessions, and leftovers of processes, of tasks and of rooms above."""
    parts, unfinished = [], False
    for one in (*OWN, *_registered.values()):
        found = one.forget(turn.now, turn.goes_on)
        parts.append(counted(found.rows, *one.nouns))
        unfinished = unfinished or not found.finished
    words = f"Deleted {listed(parts)}."
    return f"{words} There is more, for the next time." if unfinished else words
