"""Deleting what nobody can use any more."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.sessions.models import Session
from django_q.models import Task

from governance.models import ProcessHeartbeat
from providers.forgetting import forget
from scheduling.maintenance.turn import Turn
from scheduling.maintenance.words import counted

# A machine may sleep for days with Palyra on it, and its processes are alive afterwards.
PROCESS_KEPT = timedelta(days=7)
TASK_KEPT = timedelta(days=30)


def clean(turn: Turn) -> str:
    """Delete expired sessions and leftovers of processes and tasks."""
    now = turn.now
    sessions = forget(Session.objects.filter(expire_date__lt=now), turn.goes_on)
    ended = forget(ProcessHeartbeat.objects.filter(seen_at__lt=now - PROCESS_KEPT), turn.goes_on)
    tasks = forget(Task.objects.filter(stopped__lt=now - TASK_KEPT), turn.goes_on)
    parts = [
        counted(sessions.rows, "expired session"),
        counted(ended.rows, "ended process", "ended processes"),
        counted(tasks.rows, "record of a task", "records of tasks"),
    ]
    return f"Deleted {parts[0]}, {parts[1]} and {parts[2]}."
