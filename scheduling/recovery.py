"""Finds runs that nobody is looking after, and says what has become of them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import Q

from governance import processes
from scheduling import messages
from scheduling.models import CronRun, RunStatus

logger = logging.getLogger(__name__)
DELIVERY_PATIENCE = timedelta(seconds=30)
# Beyond what `tasks` allows a call, with room for writing its end.
LONGEST_RUN = timedelta(minutes=15)
MOST_RUNS_A_TURN = 500


def recover(now: datetime) -> None:
    """Send lost runs again and close those whose worker is gone. Harmless where repeated."""
    confess_broken_off(now)
    send_lost_again(now)


def send_lost_again(now: datetime) -> int:
    """Queue again the runs that have waited long and are in no message; how many there were."""
    stale = CronRun.objects.filter(
        status=RunStatus.QUEUED, queued_at__lt=now - DELIVERY_PATIENCE
    ).order_by("queued_at")[:MOST_RUNS_A_TURN]
    runs = list(stale)
    waiting = messages.undelivered() if runs else None
    if waiting is None:
        return 0
    lost = [run for run in runs if run.id not in waiting]
    if lost:
        logger.warning("%d queued runs are in no message and are sent again.", len(lost))
        messages.send(lost)
    return len(lost)


def confess_broken_off(now: datetime) -> int:
    """Close the runs whose process ended during the call; how many there were.

    The call may have reached the provider, so such a run is neither failed nor run again.
    """
    alive = [process.id for process in processes.alive(now)]
    broken_off = CronRun.objects.filter(status=RunStatus.RUNNING).filter(
        ~Q(owner__in=alive) | Q(started_at__lt=now - LONGEST_RUN)
    )
    closed = broken_off.update(
        status=RunStatus.UNCONFIRMED,
        finished_at=now,
        reason="The worker ended during the call. Whether the provider answered is not known; "
        "the ledger shows what is charged for it.",
    )
    if closed:
        logger.warning("%d runs were broken off and are unconfirmed.", closed)
    return closed
