"""What limits use, and what came of it: policies, windows, requests for more, alerts."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User

from governance import approvals
from governance.alerts.evaluation import delivery_of
from governance.budgets import Subject
from governance.ledger import open_window
from governance.models import (
    Alert,
    AlertKind,
    Approval,
    BudgetPolicy,
    Channel,
    Team,
)
from governance.snapshot import policy_entry
from providers.identifiers import new_id
from providers.models import Secret

DOLLAR = 10**9


def add_policies(teams: tuple[Team, ...], member: User) -> None:
    """Some of every kind, most of them a team's."""
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
    _add_policies_of_other_scopes(teams, member)


def _add_policies_of_other_scopes(teams: tuple[Team, ...], member: User) -> None:
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


def open_windows(member: User, now: datetime) -> None:
    """The windows that calls of today would be counted in."""
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


def fit_to_what_was_used() -> None:
    """Set the limits by what the month has come to, whatever its day: one budget almost used up."""
    for name, percent in (("Support, a month", 96), ("Research, a month", 61)):
        policy = BudgetPolicy.objects.get(name=name)
        used = policy.windows.get().consumed
        whole = max(1, -(-used * 100 // percent // DOLLAR * DOLLAR) // DOLLAR) * DOLLAR
        policy.hard_limit = max(whole, used + DOLLAR // 20)
        policy.soft_limit = policy.hard_limit * 3 // 4 if policy.soft_limit else None
        policy.save()


def ask_for_more(teams: tuple[Team, ...], by: User, administrator: User, now: datetime) -> Approval:
    """Requests that were approved, denied and not decided on; gives the last of them."""
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


def raise_alerts(teams: tuple[Team, ...], now: datetime) -> None:
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
