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

from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from governance import approvals, calls, keys
from governance.budgets import Counter, Policy, evaluate
from governance.calls import Caller, CallRequest
from governance.ledger import open_window
from governance.models import (
    ApiKey,
    Approval,
    BudgetPolicy,
    BudgetWindow,
    CallStatus,
    Membership,
    ModelCall,
    Price,
    ProcessHeartbeat,
    Surface,
    TaskClass,
    Team,
)
from governance.pricing import cost
from governance.snapshot import Snapshot, load, policy_entry
from providers.identifiers import new_id
from providers.models import Provider, ProviderKind, ProviderModel, Secret
from providers.usage import Usage
from scheduling import jobs
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from tests.browser.console import ADMINISTRATOR, MEMBER, PASSWORD, VIEWER

DOLLAR = 10**9
CALLS = 620
DAYS = 62


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
    made_keys = _keys(teams, administrator, now)
    _policies(teams)
    processes = _processes(now)
    made_jobs = _jobs(teams, administrator, now)
    ledger = _Ledger(chance, teams, made_keys, load(), now)
    ledger.write(processes["web"], calls_made)
    runs = _runs(made_jobs, ledger, now)
    _open_windows(now)
    _fit_to_what_was_used()
    _holds_of_latest()
    pending = _approvals(teams, member, administrator, now)
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
    lookers = Group.objects.create(name="Auditors")
    lookers.permissions.set(Permission.objects.filter(codename__startswith="view_"))
    viewer.groups.add(lookers)
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
        credential=secret,
    )
    house = Provider.objects.create(
        name="in-house",
        display_name="In-house GPUs",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="http://models.internal:8000/v1",
    )
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


class _Ledger:
    """Writes a month of calls that the real decisions and prices would have made."""

    def __init__(
        self,
        chance: random.Random,
        teams: tuple[Team, ...],
        made_keys: list[ApiKey],
        snapshot: Snapshot,
        now: datetime,
    ) -> None:
        self.chance, self.teams, self.keys = chance, teams, made_keys
        self.snapshot, self.now = snapshot, now
        self.rows: list[ModelCall] = []

    def write(self, web: ProcessHeartbeat, count: int) -> None:
        for number in range(count):
            away = self.chance.random() ** 1.3 * DAYS * 86400
            at = self.now - timedelta(seconds=120 + away)
            self.rows.append(self.call(self.chance.choices((0, 1, 2), (5, 3, 2))[0], at, number))
        for minutes in (37, 220):
            row, _ = self._asked(0, self.now - timedelta(minutes=minutes), None)
            self.rows.append(self._failed(row))
        for seconds in (4, 9):
            self.rows.append(self.in_flight(self.now - timedelta(seconds=seconds), web))
        ModelCall.objects.bulk_create(self.rows)

    def call(
        self, team_number: int, at: datetime, number: int = 0, run: CronRun | None = None
    ) -> ModelCall:
        row, actual = self._asked(team_number, at, run)
        fate = self.chance.random()
        if run is None and number and fate > 0.975:
            return self._blocked(row)
        if run is None and fate > 0.94:
            return self._failed(row)
        return self._answered(row, actual)

    def in_flight(self, at: datetime, web: ProcessHeartbeat) -> ModelCall:
        row, _ = self._asked(0, at, None)
        row.status = CallStatus.IN_FLIGHT
        row.owner = web.pk
        row.expires_at = self.now + timedelta(days=1)
        return row

    def _asked(self, team_number: int, at: datetime, run: CronRun | None) -> tuple[ModelCall, str]:
        model = self.chance.choices(("auto", "gpt-4.1", "llama-3.3-70b"), (5, 4, 2))[0]
        words = "word " * self.chance.randint(12000, 80000)
        request = CallRequest(
            caller=Caller(team_id=self.teams[team_number].pk, surface=Surface.OPENAI),
            body={"model": model, "messages": [{"role": "user", "content": words}]},
        )
        decision = calls.explain(request, self.snapshot, at)
        estimate = decision.estimate
        assert estimate is not None
        row = ModelCall(
            id=new_id(),
            team=self.teams[team_number],
            api_key=None if run else self.keys[team_number],
            surface=Surface.SCHEDULE if run else Surface.OPENAI,
            task_class=TaskClass.BACKGROUND_AUTOMATION if run else TaskClass.PRIMARY_INTERACTIVE,
            job_id=run.job_id if run else None,
            run_id=run.pk if run else None,
            requested_model=model,
            provider=decision.provider,
            model=decision.model,
            decision=decision.as_json(),
            admitted_at=at,
            estimate_lower=estimate.lower,
            estimate_expected=estimate.expected,
            estimate_upper=estimate.upper,
            expected_input_tokens=len(words) // 4,
            expected_output_tokens=500,
            token_bound=len(words) + decision.output_cap,
        )
        row.evaluations = [
            said.as_json() for said in self._evaluations(team_number, at, row.estimate_upper)
        ]
        return row, decision.actual

    def _evaluations(self, team_number: int, at: datetime, upper: int | None) -> list[Any]:
        found = []
        for policy in self.snapshot.policies_for(self.teams[team_number].pk):
            requested = {"cost": upper, "tokens": 4000, "requests": 1}[policy.metric]
            limit = policy.hard_limit or 0
            counter = Counter(window_id=0, consumed=limit // 3, held=limit // 50)
            resets = policy.window(self.teams[team_number].pk, at).period.ends_at
            found.append(evaluate(policy, counter, requested, resets))
        return found

    def _answered(self, row: ModelCall, actual: str) -> ModelCall:
        cached = row.expected_input_tokens // 3 if row.provider == "openai" else 0
        usage = Usage(
            uncached_input=row.expected_input_tokens - cached,
            cache_read=cached,
            output=self.chance.randint(200, 4000),
            reported=self.chance.random() < 0.95,
        )
        took = self.chance.randint(350, 9000)
        row.status = CallStatus.SUCCEEDED
        row.uncached_input_tokens = usage.uncached_input
        row.cache_read_tokens = usage.cache_read
        row.cache_write_5m_tokens = row.cache_write_1h_tokens = 0
        row.output_tokens = usage.output
        row.usage_reported = usage.reported
        price = self._price(actual)
        row.price_id = price.id
        row.cost = cost(price, usage)
        row.latency_ms = took
        row.settled_at = row.admitted_at + timedelta(milliseconds=took)
        row.attempts = [_attempt(row, "answered", took)]
        return row

    def _price(self, actual: str) -> Any:
        model = next(one for one in self.snapshot.registry.models if one.qualified_name == actual)
        return self.snapshot.prices[model.id][0]

    def _failed(self, row: ModelCall) -> ModelCall:
        row.status = CallStatus.FAILED
        row.failure_class = "transient_upstream"
        row.error = "The provider answered 503: it is overloaded. The same call may work later."
        row.cost = 0
        row.latency_ms = 412
        row.settled_at = row.admitted_at + timedelta(milliseconds=412)
        row.attempts = [
            {
                **_attempt(row, "failed", 412),
                "failure_class": "transient_upstream",
                "http_status": 503,
                "message": row.error,
            }
        ]
        return row

    def _blocked(self, row: ModelCall) -> ModelCall:
        policy = self.snapshot.policies_for(row.team_id)[-1]
        said = evaluate(policy, _full(policy), 10**12, self.now + timedelta(days=3))
        row.status = CallStatus.BLOCKED
        row.evaluations = [*row.evaluations[:-1], said.as_json()]
        row.error = said.explanation
        row.settled_at = row.admitted_at
        return row


def _full(policy: Policy) -> Counter:
    return Counter(window_id=0, consumed=policy.hard_limit or 0, held=0)


def _attempt(row: ModelCall, outcome: str, took: int) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "model": row.model,
        "outcome": outcome,
        "failure_class": "",
        "message": "",
        "http_status": None,
        "latency_ms": took,
    }


def _runs(made_jobs: list[CronJob], ledger: _Ledger, now: datetime) -> list[CronRun]:
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


def _open_windows(now: datetime) -> None:
    for row in BudgetPolicy.objects.all():
        policy = policy_entry(row)
        for team in Team.objects.all() if row.scope == "team" else (None,):
            if team is None or policy.applies_to(team.pk):
                open_window(policy, policy.window(team.pk if team else 0, now))


def _fit_to_what_was_used() -> None:
    """Set the limits by what the month has come to, whatever its day: one budget almost used up."""
    for name, percent in (("Support, a month", 96), ("Research, a month", 61)):
        policy = BudgetPolicy.objects.get(name=name)
        used = policy.windows.get().consumed
        whole = max(1, -(-used * 100 // percent // DOLLAR * DOLLAR) // DOLLAR) * DOLLAR
        policy.hard_limit = max(whole, used + DOLLAR // 20)
        policy.soft_limit = policy.hard_limit * 3 // 4 if policy.soft_limit else None
        policy.save()


def _holds_of_latest() -> None:
    """Give the latest calls the holds that were charged to the windows of now."""
    latest = ModelCall.objects.filter(status=CallStatus.SUCCEEDED).order_by("-admitted_at")[:40]
    windows = list(BudgetWindow.objects.select_related("policy"))
    for call in latest:
        call.holds = [
            {
                "window": window.pk,
                "metric": window.policy.metric,
                "amount": _at_most(call, window.policy.metric),
                "charged": _charged(call, window.policy.metric),
            }
            for window in windows
            if window.scope_value in {"", str(call.team_id)}
            and call.admitted_at >= window.starts_at
        ]
    ModelCall.objects.bulk_update(latest, ["holds"])


def _at_most(call: ModelCall, metric: str) -> int:
    return {"cost": call.estimate_upper or 0, "tokens": call.token_bound, "requests": 1}[metric]


def _charged(call: ModelCall, metric: str) -> int:
    return {"cost": call.cost or 0, "tokens": call.total_tokens or 0, "requests": 1}[metric]


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
