"""When something is due next: asked at each turn of a scheduler, on SQLite after each commit."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from scheduling.models import CronJob, CronRun, RunStatus


def next_due() -> datetime | None:
    """When the next job or retry is due, or one that was set aside; None if none is."""
    found: list[datetime] = []
    with connection.cursor() as cursor:
        for sql, parameters in _questions(connection.vendor):
            cursor.execute(sql, parameters)
            found += [_moment(cell) for (cell,) in cursor.fetchall()]
    return min(found, default=None)


def unsent() -> QuerySet[CronRun]:
    """Runs that are to be tried again, and of which no worker has been told yet."""
    return CronRun.objects.filter(
        status=RunStatus.QUEUED, due_at__isnull=False, lane__isnull=False, sent_at=None
    )


@cache
def _questions(_vendor: str) -> list[tuple[str, tuple[Any, ...]]]:
    """The statements, written once: to write one takes Django ten times as long as it takes the
    database to answer it."""
    jobs = CronJob.objects.filter(enabled=True, due_at__isnull=False)
    firsts = (
        jobs.filter(retry_at=None).order_by("due_at").values_list("due_at"),
        jobs.filter(retry_at__isnull=False).order_by("retry_at").values_list("retry_at"),
        unsent().order_by("due_at").values_list("due_at"),
    )
    return [first[:1].query.sql_with_params() for first in firsts]


def _moment(cell: str | datetime) -> datetime:
    """SQLite, which has no times, keeps UTC's without saying so."""
    moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(cell)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
