"""Which processes are alive: each beats every few seconds, and holds belong to one that does."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from governance.models import ProcessHeartbeat

BEAT_SECONDS = 2.0


def beat(process_id: UUID, role: str, started_at: datetime) -> None:
    """Say that this process is alive, by the database's clock: machines' clocks differ."""
    if not ProcessHeartbeat.objects.filter(pk=process_id).update(seen_at=Now()):
        ProcessHeartbeat.objects.create(
            pk=process_id,
            role=role,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=started_at,
            seen_at=Now(),
        )


def end(process_id: UUID) -> None:
    """Say that this process is about to end and holds nothing any more."""
    ProcessHeartbeat.objects.filter(pk=process_id).delete()


def mark_ended(host: str, pid: int) -> int:
    """Strike out a process known to be dead, so that its holds are swept at once."""
    deleted, _ = ProcessHeartbeat.objects.filter(host=host, pid=pid).delete()
    return deleted


def alive(now: datetime | None = None) -> list[ProcessHeartbeat]:
    """The processes heard of within the owner timeout."""
    since = (now or timezone.now()) - timedelta(seconds=settings.PALYRA_OWNER_TIMEOUT)
    return list(ProcessHeartbeat.objects.filter(seen_at__gt=since))
