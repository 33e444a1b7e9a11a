"""What `palyra cron` says, and what it is told of."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from governance.models import ProcessHeartbeat
from providers.identifiers import new_id
from scheduling.models import CronJob, CronRun, RunStatus

MINUTE = timedelta(minutes=1)


def says(*arguments: object) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("cron", *map(str, arguments), stdout=out)
    return out.getvalue()


def told(*arguments: object) -> Any:
    """What it tells a program."""
    return json.loads(says(*arguments, "--json"))


def refused(*arguments: object) -> tuple[str, int]:
    """Its lines, and its exit status."""
    with pytest.raises(CommandError) as error:
        says(*arguments)
    return str(error.value), error.value.returncode


def start(role: str) -> None:
    now = timezone.now()
    ProcessHeartbeat.objects.create(
        id=new_id(), role=role, host="here", pid=1, started_at=now - MINUTE, seen_at=now
    )


def make_run(job: CronJob, **fields: Any) -> CronRun:
    now = timezone.now()
    given = {"slot": now, "queued_at": now, "status": RunStatus.SUCCEEDED}
    return CronRun.objects.create(job=job, **given | fields)
