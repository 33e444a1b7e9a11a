"""What is told of runs that have ended: which of a job's wishes are met, and the message itself.

Sending is governance's; here messages are only made, in the transaction in which the run ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from governance.alerts.deliveries import new_delivery
from governance.alerts.handling import usable_for_runs
from governance.models import AlertSeverity, Channel, ChannelPurpose, Delivery, Team
from governance.money import decimal_text, dollars_text
from governance.zones import zone as named_zone
from providers.display import duration
from scheduling.display import slot_text
from scheduling.models import CronJob, CronRun, DeliverOn, RunDelivery, RunStatus

logger = logging.getLogger(__name__)
LONGEST_OUTPUT = 10_000
MOST_WISHES = 20
FAILURES = frozenset(
    {RunStatus.FAILED, RunStatus.BLOCKED_BY_BUDGET, RunStatus.DENIED, RunStatus.UNCONFIRMED}
)
# What was never begun is shown among the runs, and told to nobody.
ENDS = FAILURES | {RunStatus.SUCCEEDED, RunStatus.CANCELLED}


def tell(run: CronRun, *, previous_output: str | None, now: datetime) -> None:
    """Make the messages that the job wishes for of `run`, which has just ended for good.

    `previous_output` is that of the job's last run before it that succeeded; None if there was
    none. Whatever goes wrong is logged and undone by itself: it never fails the run.
    """
    try:
        with transaction.atomic():
            _tell(run, previous_output, now)
    except Exception:
        logger.exception("Run %s has ended, and could not be told of", run.pk)


def _tell(run: CronRun, previous_output: str | None, now: datetime) -> None:
    if run.status not in ENDS:
        return
    changed = run.output != previous_output
    channels = {
        wish.channel_id: wish.channel
        for wish in _wishes(run)
        if is_met(wish.on, run.status, changed=changed)
    }
    if not channels:
        return
    event, body = f"run.{run.status}", message(run, changed=changed, now=now)
    Delivery.objects.bulk_create(
        new_delivery(channel, event, body, now, team_id=run.job.team_id, run_id=run.pk)
        for channel in channels.values()
    )
    if connection.vendor == "postgresql":
        # Whether the channels are still there is asked at the commit otherwise, which is the run's.
        connection.check_constraints()


def _wishes(run: CronRun) -> QuerySet[RunDelivery]:
    """Those that can be met: a channel may have been switched off since, or be for others now."""
    usable = Q(channel__team=None) | Q(channel__team=run.job.team_id)
    wishes = RunDelivery.objects.filter(usable, job=run.job_id, channel__enabled=True)
    return wishes.exclude(channel__purpose=ChannelPurpose.ALERTS).select_related("channel")


def is_met(on: str, status: str, *, changed: bool) -> bool:
    """Whether a run that ended as `status` is one that is told of `on`."""
    if on == DeliverOn.FAILURE:
        return status in FAILURES
    if on == DeliverOn.ALWAYS:
        return status in ENDS
    if status != RunStatus.SUCCEEDED:
        return False
    return on == DeliverOn.SUCCESS or (on == DeliverOn.CHANGE and changed)


def message(run: CronRun, *, changed: bool, now: datetime) -> dict[str, Any]:
    """What is sent of `run`: as JSON to a webhook, and in words to people."""
    job = run.job
    succeeded = run.status == RunStatus.SUCCEEDED
    data = {
        "id": str(run.pk),
        "title": f"{job.name}: {run.get_status_display().lower()}",
        "explanation": _explanation(run),
        "severity": AlertSeverity.WARNING if run.status in FAILURES else AlertSeverity.INFO,
        "job": {"id": str(job.pk), "name": job.name},
        "team": job.team.slug,
        "trigger": run.trigger,
        "scheduled_at": run.slot.isoformat(),
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "status": run.status,
        "reason": run.reason,
        "model": run.model,
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "cost": None if run.cost is None else decimal_text(run.cost),
        "changed": changed if succeeded else None,
        "output": run.output[:LONGEST_OUTPUT],
        "output_cut": len(run.output) > LONGEST_OUTPUT,
        "url": _address(run),
    }
    return {"type": f"run.{run.status}", "timestamp": now.isoformat(), "data": data}


def _explanation(run: CronRun) -> str:
    """In one line: why, if not well; when; by which model, how long and for how much."""
    facts = [run.reason] if run.reason else []
    facts.append(f"It was due on {slot_text(run.slot, named_zone(run.job.zone))}.")
    used = [run.model] if run.model else []
    if run.started_at and run.finished_at:
        took = (run.finished_at - run.started_at).total_seconds()
        used.append(duration(max(0.0, took)))
    if run.total_tokens is not None:
        used.append(f"{run.total_tokens:,} tokens")
    if run.cost is not None:
        used.append(dollars_text(run.cost))
    return " ".join([*facts, ", ".join(used)]).strip()


def _address(run: CronRun) -> str:
    """The run's page, among its team's."""
    page = reverse("team:schedule-run-page", args=[run.job.team.slug, run.job_id, run.pk])
    return f"{settings.PALYRA_PUBLIC_URL}{page}"


def channels_for(team: Team) -> QuerySet[Channel]:
    """The channels by which `team` may be told of its runs, by name."""
    return usable_for_runs([team.pk])


def is_usable(channel: Channel, team_id: int) -> bool:
    """Whether a team may be told of its runs by a channel: one of `channels_for`."""
    return channel.team_id in {None, team_id} and channel.purpose != ChannelPurpose.ALERTS


def wishes_of(job: CronJob) -> list[RunDelivery]:
    """The job's wishes that can be met; a channel may have become another team's since."""
    return [wish for wish in job.deliveries.all() if is_usable(wish.channel, job.team_id)]


def delivery_faults(team: Team, wishes: Iterable[tuple[Channel, str]]) -> list[str]:
    """What is wrong with wishes of `team`, each a channel and after which runs; all of it."""
    wishes = list(wishes)
    faults = []
    if len(wishes) > MOST_WISHES:
        faults.append(f"Give at most {MOST_WISHES} deliveries.")
    for channel, on in wishes:
        if not is_usable(channel, team.pk):
            # Not by name: it may be another team's.
            faults.append(f"Channel {channel.pk} is not one that the team may use.")
        if on not in DeliverOn.values:
            faults.append(f"Give one of {', '.join(DeliverOn.values)}, not {on!r}.")
    named = [(channel.pk, on) for channel, on in wishes]
    if len(set(named)) < len(named):
        faults.append("Give each channel once for the same runs.")
    return list(dict.fromkeys(faults))
