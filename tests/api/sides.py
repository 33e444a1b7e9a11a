"""A team with one of everything, so that another team can try to get at it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from governance import approvals, keys
from governance.alerts.deliveries import new_delivery
from governance.keys import NewKey
from governance.models import (
    Approval,
    BudgetPolicy,
    CallStatus,
    Channel,
    Delivery,
    MembershipRole,
    ModelCall,
    Surface,
    TaskClass,
    Team,
)
from scheduling import calendars, jobs
from scheduling.models import CronJob, CronRun, ExclusionCalendar, RunStatus
from tests.api.callers import member_of
from tests.support.factories import make_policy, make_team
from tests.support.ledger_rows import add_up

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A team and what it has."""

    team: Team
    key: NewKey
    member: User
    manager: User
    policy: BudgetPolicy
    approval: Approval
    call: ModelCall
    job: CronJob
    run: CronRun
    calendar: ExclusionCalendar
    delivery: Delivery


def make_side(slug: str) -> Side:
    """A new team with a key, people, a budget, a request for more, a call, a job and a run that was
    told of."""
    team = make_team(slug=slug, name=slug.title())
    member = member_of(team)
    policy = make_policy(name=f"{slug}'s own", team=team)
    job = make_job(team)
    run = make_run(job)
    return Side(
        team=team,
        key=keys.create(team=team, name=f"{slug}'s key", created_by=member),
        member=member,
        manager=member_of(team, MembershipRole.MANAGER),
        policy=policy,
        approval=approvals.request_more(
            team=team,
            policy=policy,
            requested_by=member,
            amount=10**9,
            reason=f"{slug} needs it.",
            now=timezone.now(),
        ),
        call=make_call(team, run_id=job.pk, session=slug, latency_ms=120),
        job=job,
        run=run,
        calendar=calendars.create(team=team, name=f"{slug}'s days", dates=["2040-12-25"]),
        delivery=make_delivery(run),
    )


def make_job(team: Team, **fields: Any) -> CronJob:
    """A prompt at nine every day, made on a fixed day."""
    defaults = {"name": "Digest", "schedule_kind": "cron", "cron": "0 9 * * *", "prompt": "Sum up."}
    return jobs.create_job(team=team, now=timezone.now(), **{**defaults, **fields})


def make_run(job: CronJob, **fields: Any) -> CronRun:
    """A run that succeeded."""
    defaults = {
        "slot": NOON,
        "status": RunStatus.SUCCEEDED,
        "queued_at": NOON,
        "started_at": NOON,
        "finished_at": NOON,
        "model": "small",
        "output": "All is well.",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost": 12_500,
    }
    return CronRun.objects.create(job=job, **{**defaults, **fields})


def make_delivery(run: CronRun) -> Delivery:
    """What told the team of a run, in a channel of its own."""
    team = run.job.team
    channel = Channel.objects.create(name=f"{team.slug}'s", kind="console", team=team)
    told = new_delivery(channel, "run.succeeded", {}, NOON, team_id=team.pk, run_id=run.pk)
    told.save()
    return told


def make_call(team: Team, **fields: Any) -> ModelCall:
    """A call that succeeded."""
    defaults = {
        "surface": Surface.OPENAI,
        "task_class": TaskClass.PRIMARY_INTERACTIVE,
        "requested_model": "small",
        "provider": "rehearsal",
        "model": "small",
        "status": CallStatus.SUCCEEDED,
        "admitted_at": NOON,
        "settled_at": NOON,
        "uncached_input_tokens": 10,
        "output_tokens": 5,
        "usage_reported": True,
        "cost": 12_500,
    }
    call = ModelCall.objects.create(team=team, **{**defaults, **fields})
    add_up([call])
    return call
