"""Plausible data for looking at the console: the same at every call, but for the clock.

Three teams and a month of calls, written through the same pure functions and services that real
calls and people use, so that windows, stories and sums agree.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.utils import timezone

from governance import approvals, keys
from governance.alerts.evaluation import delivery_of
from governance.budgets import Subject
from governance.ledger import open_window
from governance.models import (
    Alert,
    AlertKind,
    ApiKey,
    Approval,
    BudgetPolicy,
    CallStatus,
    CallText,
    Channel,
    Membership,
    ModelCall,
    Price,
    ProcessHeartbeat,
    Team,
    governance_settings,
)
from governance.snapshot import load, policy_entry
from palyra_site.access.groups import give_role
from palyra_site.access.roles import Role
from providers.identifiers import new_id
from providers.models import (
    Credential,
    Provider,
    ProviderKind,
    ProviderMetric,
    ProviderModel,
    Secret,
    failover_policy,
)
from scheduling import calendars, jobs
from scheduling.maintenance import booking
from scheduling.models import (
    CronJob,
    CronRun,
    MaintenanceJob,
    MaintenanceStatus,
    RunStatus,
    RunTrigger,
)
from tests.browser.console import ADMINISTRATOR, MEMBER, OPERATOR, PASSWORD, VIEWER
from tests.browser.seed_ledger import DAYS, Ledger, give_holds_to_latest
from tests.support.ledger_rows import add_up

DOLLAR = 10**9
CALLS = 620


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a test may want to name."""

    administrator: User
    viewer: User
    member: User
    teams: tuple[Team, ...]
    pending: Approval
    job: CronJob
    run: CronRun
    call: ModelCall


def seed(now: datetime | None = None, *, calls_made: int = CALLS) -> Seeded:
    """Fill an empty database."""
    now = now or timezone.now()
    chance = random.Random(20260301)
    administrator, viewer, member = people()
    teams = _teams(member)
    _registry(now)
    _reliability(now)
    made_keys = _keys(teams, administrator, now)
    _policies(teams)
    _policies_of_other_scopes(teams, member)
    processes = _processes(now)
    made_jobs = _jobs(teams, administrator, now)
    ledger = Ledger(chance, teams, made_keys, load(), now)
    ledger.write(processes["web"], calls_made)
    runs = _runs(made_jobs, ledger, now)
    _open_windows(member, now)
    _fit_to_what_was_used()
    give_holds_to_latest()
    pending = _approvals(teams, member, administrator, now)
    _texts(teams[1])
    _alerts(teams, now)
    _careful_job(teams[0], administrator, now)
    _maintenance(now)
    return Seeded(
        administrator=administrator,
        viewer=viewer,
        member=member,
        teams=teams,
        pending=pending,
        job=made_jobs[0],
        run=runs[0],
        call=ModelCall.objects.filter(status=CallStatus.SUCCEEDED, api_key__isnull=False).latest(
            "admitted_at"
        ),
    )


def _texts(team: Team) -> None:
    """What the last calls of a team that wants it kept asked and were answered."""
    team.text_days = 30
    team.save()
    asked = {
        "passages": [
            ["Settings", '{"temperature": 0.2}'],
            ["System", "You sort findings of a literature search. Answer in one paragraph."],
            ["User", "Which of these papers measure the effect directly, and which model it?"],
        ],
        "cut": False,
    }
    said = "Two measure it directly: Okafor (2024) and Lindqvist (2025). The other three model it."
    for call in ModelCall.objects.filter(team=team, status=CallStatus.SUCCEEDED)[:20]:
        CallText.objects.create(
            pk=call.pk,
            team=team,
            admitted_at=call.admitted_at,
            asked=asked,
            answered={"passages": [["Model", said]], "cut": False},
        )


def _alerts(teams: tuple[Team, ...], now: datetime) -> None:
    """One that is over and was sent, and one that is open."""
    secret = Secret(name="webhook-1")
    secret.set_text("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    secret.save()
    channel = Channel.objects.create(
        name="Operations", url="https://hooks.example.com/palyra", secret=secret
    )
    for team, ended in ((teams[0], now), (teams[1], None)):
        alert = Alert.objects.create(
            kind=AlertKind.COST_SPIKE,
            key=f"cost_spike:{team.pk}",
            team=team,
            title=f"{team} spent unusually much in an hour",
            explanation="The last hour cost $9.00; a usual one costs $2.00.",
            first_seen_at=now - timedelta(hours=1),
            last_seen_at=now,
            resolved_at=ended,
        )
        sent = delivery_of(alert, channel, now)
        sent.status, sent.tries, sent.delivered_at = "delivered", 1, now
        sent.save()


def _maintenance(now: datetime) -> None:
    """Every job, most of them done a moment ago, one failed and one paused."""
    booking.make_rows(now)
    ran = MaintenanceJob.objects.all()
    ran.update(
        last_started_at=now - timedelta(seconds=9),
        last_finished_at=now - timedelta(seconds=8),
        last_status=MaintenanceStatus.OK,
        last_result="Nothing was due.",
    )
    ran.filter(pk="usage-check").update(
        last_status=MaintenanceStatus.FAILED,
        last_result="3 of the hours differ from the ledger. Run “palyra usage rebuild” to put "
        "them right.",
        failures_in_a_row=2,
    )
    ran.filter(pk="discovery").update(
        enabled=False, paused_reason="The hosts move this week.", next_at=None
    )


def beat(now: datetime | None = None) -> None:
    """Keep the seeded processes alive."""
    ProcessHeartbeat.objects.update(seen_at=now or timezone.now())


def people() -> tuple[User, User, User]:
    """An administrator, somebody who may look at everything, and a member of teams."""
    administrator = User.objects.create_superuser(
        ADMINISTRATOR, "ada@example.com", PASSWORD, first_name="Ada", last_name="Novak"
    )
    viewer = User.objects.create_user(
        VIEWER, "victor@example.com", PASSWORD, first_name="Victor", is_staff=True
    )
    give_role(viewer, Role.AUDITOR)
    operator = User.objects.create_user(
        OPERATOR, "oscar@example.com", PASSWORD, first_name="Oscar", last_name="Lind"
    )
    give_role(operator, Role.OPERATOR)
    Group.objects.create(name="On call")
    member = User.objects.create_user(
        MEMBER, "mira@example.com", PASSWORD, first_name="Mira", last_name="Okafor"
    )
    return administrator, viewer, member


def _teams(member: User) -> tuple[Team, ...]:
    teams = tuple(
        Team.objects.create(slug=slug, name=name, zone=zone)
        for slug, name, zone in (
            ("support", "Customer support", "Europe/Prague"),
            ("research", "Research", "Europe/Prague"),
            ("billing", "Billing", "America/New_York"),
        )
    )
    # All there is now, but nothing that is added elsewhere.
    teams[1].allowed_models = ["in-house/*", "openai/*"]
    teams[1].routing_mode = "dry_run"
    teams[1].save()
    for team in teams[:2]:
        Membership.objects.create(team=team, user=member, role="manager")
    return teams


def _registry(now: datetime) -> None:
    secret = Secret(name="openai-production")
    secret.set_text("sk-demo-0123456789abcdefghij")
    secret.save()
    openai = Provider.objects.create(
        name="openai",
        display_name="OpenAI",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="https://api.openai.com/v1",
    )
    Credential.objects.create(provider=openai, secret=secret)
    elsewhere = Secret(name="openai-spare")
    elsewhere.set_reference("env:OPENAI_SPARE_KEY")
    elsewhere.save()
    Credential.objects.create(provider=openai, secret=elsewhere, position=1, enabled=False)
    house = Provider.objects.create(
        name="in-house",
        display_name="In-house GPUs",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="http://models.internal:8000/v1",
        allow_private_base_url=True,
    )
    failover_policy()
    governance_settings()
    Provider.objects.create(name="rehearsal", kind=ProviderKind.DETERMINISTIC, enabled=False)
    for provider, name, default, rates in (
        (openai, "gpt-4.1", False, ("2", "8")),
        (openai, "gpt-4.1-mini", True, ("0.4", "1.6")),
        (house, "llama-3.3-70b", False, ("0.2", "0.2")),
    ):
        model = ProviderModel.objects.create(
            provider=provider, name=name, is_default=default, max_output_tokens=4096
        )
        paid, answered = (int(float(rate) * DOLLAR) for rate in rates)
        Price.objects.create(
            model=model,
            effective_from=now - timedelta(days=DAYS + 10),
            uncached_input=paid,
            output=answered,
            cache_read=paid // 4 if provider is openai else None,
            source="price list",
        )


def _reliability(now: datetime) -> None:
    """What a day of attempts at OpenAI came to, with an hour in which it was overloaded."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    openai = Provider.objects.get(name="openai")
    ProviderMetric.objects.bulk_create(
        ProviderMetric(
            provider=openai,
            model="gpt-4.1-mini",
            hour=hour - timedelta(hours=ago),
            attempts=20 + ago % 5 * 9,
            failures={"rate_limited": 7} if ago == 4 else {"transient_upstream": 1},
            latency={str(30 + ago % 4): 13},
        )
        for ago in range(20)
    )


def _keys(teams: tuple[Team, ...], by: User, now: datetime) -> list[ApiKey]:
    made = [
        keys.create(team=team, name=name, created_by=by, expires_at=expires).record
        for team, name, expires in (
            (teams[0], "Helpdesk widget", now + timedelta(days=80)),
            (teams[1], "Notebook server", None),
            (teams[2], "Invoice reader", now + timedelta(days=20)),
            (teams[0], "Old helpdesk", None),
        )
    ]
    keys.revoke(made[-1], now=now - timedelta(days=3))
    return made


def _policies(teams: tuple[Team, ...]) -> None:
    for name, team, scope, metric, interval, soft, hard in (
        ("Everyone, a month", None, "global", "cost", "month", 15 * DOLLAR, 60 * DOLLAR),
        ("Support, a month", teams[0], "team", "cost", "month", 4 * DOLLAR, 6 * DOLLAR),
        ("Research, a month", teams[1], "team", "cost", "month", None, 10 * DOLLAR),
        ("Each team, tokens a day", None, "team", "tokens", "day", 1_500_000, 3_000_000),
        ("Billing, requests a day", teams[2], "team", "requests", "day", None, 12),
    ):
        BudgetPolicy.objects.create(
            name=name,
            team=team,
            scope=scope,
            metric=metric,
            interval=interval,
            zone="Europe/Prague",
            soft_limit=soft,
            hard_limit=hard,
        )


def _policies_of_other_scopes(teams: tuple[Team, ...], member: User) -> None:
    """One of each kind of action, interval and person or thing named."""
    for name, fields in (
        (
            "Each colleague, a rolling hour",
            {"scope": "user", "team": teams[0], "interval": "hour", "rolling": True}
            | {"action": "degrade", "thresholds": [75, 90], "routing_mode": "enforced"},
        ),
        (
            "Mira, output a week",
            {"scope": "user", "value": str(member.pk), "metric": "output_tokens"}
            | {"interval": "week", "hard_limit": 2_000_000, "action": "approval"},
        ),
        (
            "Onboarding session",
            {"scope": "session", "team": teams[0], "value": f"{teams[0].pk}:onboarding"}
            | {"interval": "total", "hard_limit": 5 * DOLLAR},
        ),
        (
            "GPT-4.1, requests a minute",
            {"scope": "model", "value": "openai/gpt-4.1", "metric": "requests"}
            | {"interval": "minute", "hard_limit": 60, "action": "alert"},
        ),
        ("Each run of a schedule", {"scope": "job", "interval": "run"}),
    ):
        BudgetPolicy.objects.create(name=name, **{"hard_limit": 20 * DOLLAR, **fields})


def _processes(now: datetime) -> dict[str, ProcessHeartbeat]:
    return {
        role: ProcessHeartbeat.objects.create(
            id=uuid4(),
            role=role,
            host="palyra-1",
            pid=4100 + number,
            started_at=now - timedelta(hours=30, minutes=number),
            seen_at=now,
        )
        for number, role in enumerate(("web", "worker", "scheduler"))
    }


def _jobs(teams: tuple[Team, ...], by: User, now: datetime) -> list[CronJob]:
    def job(team: Team, name: str, prompt: str, **timing: Any) -> CronJob:
        return jobs.create_job(
            team=team, name=name, prompt=prompt, created_by=by, now=now, **timing
        )

    made = [
        job(
            teams[0],
            "Morning digest",
            "Summarise yesterday's open tickets in five lines.",
            schedule_kind="cron",
            cron="0 9 * * MON-FRI",
            zone="Europe/Prague",
            max_output_tokens=600,
        ),
        job(
            teams[1],
            "Paper watch",
            "List new papers on retrieval, with one sentence each.",
            schedule_kind="every",
            every_seconds=6 * 3600,
            zone="Europe/Prague",
        ),
        job(
            teams[2],
            "Month-end reminder",
            "Draft a friendly reminder for unpaid invoices.",
            schedule_kind="cron",
            cron="30 8 28 * *",
            zone="America/New_York",
            model="gpt-4.1",
        ),
        job(
            teams[2],
            "Weekly totals",
            "Explain this week's totals to a new colleague.",
            schedule_kind="cron",
            cron="0 17 * * FRI",
            zone="America/New_York",
        ),
    ]
    jobs.pause(made[3], reason="Waiting for the new ledger export", now=now)
    return made


def _runs(made_jobs: list[CronJob], ledger: Ledger, now: datetime) -> list[CronRun]:
    made = []
    for number in range(24):
        job = made_jobs[number % 3]
        slot = (now - timedelta(hours=7 * number + 1)).replace(minute=0, second=0, microsecond=0)
        began = slot + timedelta(milliseconds=140)
        run = CronRun(
            job=job,
            slot=slot,
            trigger=RunTrigger.MANUAL if number == 4 else RunTrigger.SCHEDULE,
            queued_at=slot + timedelta(milliseconds=8),
            started_at=began,
            finished_at=slot + timedelta(seconds=4),
            status=RunStatus.SUCCEEDED,
            missed_before=2 if number == 9 else 0,
        )
        if number == 6:
            run.status = RunStatus.FAILED
            run.reason = "openai/gpt-4.1-mini gave no answer. The provider answered 503."
        elif number == 11:
            run.status = RunStatus.BLOCKED_BY_BUDGET
            run.reason = "“Support, a month” allows $6.00; with $5.98 consumed nothing more fits."
        else:
            call = ledger.call(ledger.teams.index(job.team), began, run=run)
            call.save(force_insert=True)
            add_up([call])
            run.call_id = call.pk
            run.model = call.model
            run.cost = call.cost
            run.input_tokens = call.uncached_input_tokens
            run.output_tokens = call.output_tokens
            run.output = (
                "1. Two customers cannot sign in since the password change.\n"
                "2. An export of 12,000 rows times out.\n"
                "3. The invoice of March shows the wrong address.\n"
                "4. A refund waits for approval.\n"
                "5. Nothing else is older than a day."
            )
        run.save(force_insert=True)
        made.append(run)
    return made


def _open_windows(member: User, now: datetime) -> None:
    for row in BudgetPolicy.objects.exclude(interval="run"):
        policy = policy_entry(row)
        subjects = [
            Subject(
                team_id=team.pk,
                call_id=new_id(),
                user_id=member.pk,
                session="onboarding",
                provider="openai",
                model="gpt-4.1",
            )
            for team in Team.objects.all()
        ]
        for key in {policy.window(one, now) for one in subjects if policy.counts(one)}:
            open_window(policy, key)


def _fit_to_what_was_used() -> None:
    """Set the limits by what the month has come to, whatever its day: one budget almost used up."""
    for name, percent in (("Support, a month", 96), ("Research, a month", 61)):
        policy = BudgetPolicy.objects.get(name=name)
        used = policy.windows.get().consumed
        whole = max(1, -(-used * 100 // percent // DOLLAR * DOLLAR) // DOLLAR) * DOLLAR
        policy.hard_limit = max(whole, used + DOLLAR // 20)
        policy.soft_limit = policy.hard_limit * 3 // 4 if policy.soft_limit else None
        policy.save()


def _approvals(teams: tuple[Team, ...], by: User, administrator: User, now: datetime) -> Approval:
    support = BudgetPolicy.objects.get(name="Support, a month")
    each = BudgetPolicy.objects.get(name="Each team, tokens a day")

    def ask(team: Team, policy: BudgetPolicy, amount: int, reason: str, ago: int) -> Approval:
        asked_at = now - timedelta(hours=ago)
        approval = approvals.request_more(
            team=team,
            policy=policy,
            requested_by=by,
            amount=amount,
            reason=reason,
            now=asked_at,
        )
        Approval.objects.filter(pk=approval.pk).update(requested_at=asked_at)
        return approval

    first = ask(teams[0], support, DOLLAR, "The launch brought twice the tickets.", 3)
    approvals.decide(
        approval_id=first.pk,
        decided_by=administrator,
        approve=True,
        comment="Until the end of the month.",
        now=now - timedelta(hours=1),
    )
    denied = ask(teams[1], each, 500_000, "A large evaluation run.", 90)
    approvals.decide(
        approval_id=denied.pk,
        decided_by=administrator,
        approve=False,
        comment="Please run it on the in-house model.",
        now=now - timedelta(hours=88),
    )
    ask(teams[1], each, 250_000, "The evaluation again, on the in-house model.", 5)
    return ask(teams[0], support, 5 * DOLLAR, "Ticket volume is still rising after launch.", 2)


def _careful_job(team: Team, by: User, now: datetime) -> None:
    """A job that makes use of every policy, with runs in states that are not everyday's."""
    holidays = calendars.create(
        team=None, name="Public holidays", dates=[f"{now.year + 1}-01-01", f"{now.year + 1}-12-25"]
    )
    retreat = calendars.create(team=team, name="Retreat", dates=[f"{now.year + 1}-06-15"])
    job = jobs.create_job(
        team=team,
        name="Ticket triage",
        prompt="Sort the {{ parameters.queue }} tickets since {{ previous.at }} by urgency.",
        created_by=by,
        now=now,
        schedule_kind="every",
        every_seconds=3600,
        zone="Europe/Prague",
        jitter_seconds=120,
        max_runs=5000,
        calendars=[holidays, retreat],
        overlap="queue_one",
        misfire="review",
        max_attempts=3,
        backoff_seconds=20,
        expected_seconds=30,
        pause_after_failures=5,
        parameters={"queue": "billing"},
        output_format="json",
        output_schema={"type": "object", "properties": {"urgent": {"type": "array"}}},
        deliveries=[(Channel.objects.get(name="Operations"), "failure")],
    )
    _unusual_runs(job, now.replace(minute=0, second=0, microsecond=0))


def _unusual_runs(job: CronJob, hour: datetime) -> None:
    for ago in (4, 5, 6):
        CronRun.objects.create(
            job=job,
            slot=hour - timedelta(hours=ago),
            status=RunStatus.MISSED,
            needs_review=True,
            reason="No scheduler was running when it was due.",
            queued_at=hour,
        )
    began = hour - timedelta(hours=7) + timedelta(seconds=70)
    CronRun.objects.create(
        job=job,
        slot=hour - timedelta(hours=7),
        due_at=hour - timedelta(hours=7) + timedelta(seconds=20),
        status=RunStatus.SUCCEEDED,
        queued_at=hour - timedelta(hours=7),
        started_at=began,
        finished_at=began + timedelta(seconds=48),
        slow=True,
        attempt=2,
        deferrals=1,
        attempts=[
            {
                "number": 1,
                "started_at": (began - timedelta(seconds=40)).isoformat(),
                "finished_at": (began - timedelta(seconds=21)).isoformat(),
                "status": "failed",
                "reason": "openai/gpt-4.1-mini gave no answer. The provider answered 503.",
                "failure_class": "provider_unavailable",
                "model": "gpt-4.1-mini",
                "cost": None,
                "call_id": None,
            }
        ],
        parameters={"queue": "refunds"},
        asked="Sort the refunds tickets since Tuesday, 09:00 by urgency.",
        model="gpt-4.1-mini",
        explanation="It is the default, and the cheapest that fits the request.",
        output='{"urgent": ["A refund of March is still open."]}',
        input_tokens=412,
        output_tokens=96,
        cost=318_400,
    )
    for ago, status, reason in (
        (8, RunStatus.CANCELLED, "It was cancelled."),
        (9, RunStatus.DENIED, "More of “Support, a month” was denied: Not this month."),
        (10, RunStatus.SKIPPED, "The run before it was still under way; one runs at a time."),
        (11, RunStatus.UNCONFIRMED, "The worker stopped while the provider was answering."),
    ):
        CronRun.objects.create(
            job=job,
            slot=hour - timedelta(hours=ago),
            status=status,
            reason=reason,
            queued_at=hour - timedelta(hours=ago),
            finished_at=hour - timedelta(hours=ago),
        )
