"""What people and Palyra itself did besides: windows, requests for more, alerts, processes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from governance import approvals
from governance.budgets import Subject, WindowKey
from governance.ledger import open_window
from governance.models import (
    Alert,
    AlertKind,
    AlertSeverity,
    Approval,
    BudgetPolicy,
    ModelCall,
    ProcessHeartbeat,
    Team,
)
from governance.snapshot import policy_entry
from palyra_site.demo.calls import Asked, Writer
from palyra_site.demo.history import DAYS, INCIDENT, INCIDENT_DAYS_AGO
from palyra_site.demo.scene import Scene
from scheduling.maintenance import booking
from scheduling.models import MaintenanceJob, MaintenanceStatus

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def open_windows(teams: Iterable[Team], now: datetime) -> None:
    """Every window that calls of the history fell into, with what the ledger says of it."""
    teams = list(teams)
    moments = [now - DAY * ago for ago in range(DAYS + 1)]
    for row in BudgetPolicy.objects.exclude(interval="run").order_by("pk"):
        policy = policy_entry(row)
        keys: dict[WindowKey, None] = {}
        for team in teams:
            subject = Subject(team_id=team.pk, call_id=UUID(int=0))
            if policy.counts(subject):
                keys |= {policy.window(subject, at): None for at in reversed(moments)}
        for key in keys:
            open_window(policy, key)


def decide_requests(scene: Scene, now: datetime) -> None:
    """Four requests for more: two are decided, two wait."""
    support = BudgetPolicy.objects.get(name="Support, a month")
    engineering = BudgetPolicy.objects.get(name="Engineering, a month")
    billing = BudgetPolicy.objects.get(name="Billing, requests a day")
    teams, people = scene.teams, scene.people
    of_support, of_engineering = (one.hard_limit or 0 for one in (support, engineering))
    more = (of_support // 20, of_engineering // 4, of_support // 2)
    reason = "The launch brought twice the tickets."
    first = _ask(
        teams["support"],
        support,
        people["jonas"],
        more[0],
        reason,
        now - 30 * HOUR,
    )
    _decide(first, scene, "Until the end of the month.", now - 28 * HOUR, approve=True)
    reason = "A back-log of scanned invoices."
    second = _ask(teams["billing"], billing, people["sam"], 40, reason, now - 26 * HOUR)
    _decide(second, scene, "Please spread it over the week.", now - 25 * HOUR, approve=False)
    reason = "The release is reviewed by the model as well this week."
    _ask(
        teams["engineering"],
        engineering,
        people["chen"],
        more[1],
        reason,
        now - 5 * HOUR,
    )
    reason = "Ticket volume is still rising after the launch."
    _ask(
        teams["support"],
        support,
        people["mira"],
        more[2],
        reason,
        now - 2 * HOUR,
    )


def _ask(  # noqa: PLR0917 - each is what is asked
    team: Team, policy: BudgetPolicy, by: object, amount: int, reason: str, at: datetime
) -> Approval:
    return approvals.request_more(
        team=team, policy=policy, requested_by=by, amount=amount, reason=reason, now=at
    )


def _decide(approval: Approval, scene: Scene, comment: str, at: datetime, *, approve: bool) -> None:
    approvals.decide(
        approval_id=approval.pk,
        decided_by=scene.administrator,
        approve=approve,
        comment=comment,
        now=at,
    )


def raise_alerts(scene: Scene, now: datetime) -> None:
    """Some that are over, one that somebody looks after, and some that are open."""
    day = now - INCIDENT_DAYS_AGO * DAY
    began, ended = (
        day.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0) for at in INCIDENT
    )
    engineering, support = scene.teams["engineering"], scene.teams["support"]
    for kind, severity, team, title, explanation, first, last, resolved in (
        (
            AlertKind.PROVIDER_HEALTH,
            AlertSeverity.CRITICAL,
            None,
            "Anthropic (rehearsed) fails most of its calls",
            "64 of the last 100 calls failed: the provider answered 503, it is overloaded.",
            began,
            ended,
            ended + timedelta(minutes=6),
        ),
        (
            AlertKind.COST_SPIKE,
            AlertSeverity.WARNING,
            engineering,
            "Engineering spent unusually much in an hour",
            "The last hour cost three times what a usual one costs.",
            now - 4 * DAY,
            now - 4 * DAY + HOUR,
            now - 4 * DAY + 2 * HOUR,
        ),
        (
            AlertKind.BUDGET_THRESHOLD,
            AlertSeverity.CRITICAL,
            support,
            "“Support, a month” has reached 90 %",
            "93 % of the limit is used up. At the limit, calls are refused.",
            now - 7 * HOUR,
            now - timedelta(minutes=4),
            None,
        ),
        (
            AlertKind.FORECAST,
            AlertSeverity.WARNING,
            engineering,
            "“Engineering, a month” will not last the month",
            "At the pace so far the limit is reached before the month ends.",
            now - 2 * DAY,
            now - timedelta(minutes=9),
            None,
        ),
    ):
        Alert.objects.create(
            kind=kind,
            severity=severity,
            key=f"{kind}:demonstration:{title}",
            team=team,
            title=title,
            explanation=explanation,
            first_seen_at=first,
            last_seen_at=last,
            resolved_at=resolved,
        )
    Alert.objects.filter(kind=AlertKind.FORECAST).update(
        acknowledged_by=scene.administrator, acknowledged_at=now - DAY
    )


def as_if_running(writer: Writer, scene: Scene, now: datetime) -> list[ModelCall]:
    """Processes that beat, upkeep that ran, and calls under way, for pictures of a console that
    nothing runs behind. Gives the calls, unstored."""
    processes = {
        role: ProcessHeartbeat.objects.create(
            id=writer.identifier(now - number * HOUR),
            role=role,
            host="palyra-1",
            pid=4100 + number,
            started_at=now - timedelta(hours=30, minutes=number),
            seen_at=now,
        )
        for number, role in enumerate(("web", "worker", "scheduler"))
    }
    booking.make_rows(now)
    MaintenanceJob.objects.update(
        last_started_at=now - timedelta(seconds=9),
        last_finished_at=now - timedelta(seconds=8),
        last_status=MaintenanceStatus.OK,
        last_result="Nothing was due.",
    )
    calls = []
    for seconds, slug, key in (
        (4, "support", "Helpdesk widget"),
        (9, "engineering", "Code review"),
    ):
        asked = Asked(
            team=scene.teams[slug],
            at=now - timedelta(seconds=seconds),
            model="gpt-4.1-mini",
            characters=24_000,
            api_key=scene.keys[key],
            streamed=True,
        )
        calls.append(writer.in_flight(writer.decided(asked), processes["web"]))
    return calls
