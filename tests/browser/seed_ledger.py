"""A month and more of calls, as the real decisions and prices would have made them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from governance.budgets import Counter, Policy, Subject, evaluate
from governance.calls import Caller, CallRequest
from governance.calls.planning import plan
from governance.models import (
    ApiKey,
    BudgetWindow,
    CallStatus,
    ModelCall,
    ProcessHeartbeat,
    Surface,
    TaskClass,
    Team,
)
from governance.pricing import cost
from governance.snapshot import Snapshot
from providers.identifiers import new_id
from providers.usage import Usage
from scheduling.models import CronRun
from tests.support.ledger_rows import add_up

DAYS = 62


class Ledger:
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
        add_up(self.rows)

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
        named = ("auto", "gpt-4.1", "gpt-4.1-mini", "llama-3.3-70b")
        model = self.chance.choices(named, (2, 4, 4, 1))[0]
        words = "word " * self.chance.randint(12000, 80000)
        request = CallRequest(
            caller=Caller(team_id=self.teams[team_number].pk, surface=Surface.OPENAI),
            body={"model": model, "messages": [{"role": "user", "content": words}]},
        )
        decision = plan(request, self.snapshot, at).route.decision
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
        subject = Subject(team_id=self.teams[team_number].pk, call_id=new_id())
        for policy in self._counting(subject):
            requested = {"cost": upper, "tokens": 4000, "requests": 1}[policy.metric]
            limit = policy.hard_limit or 0
            counter = Counter(window_id=0, consumed=limit // 3, held=limit // 50)
            key = policy.window(subject, at)
            found.append(evaluate(policy, counter, requested, key))
        return found

    def _counting(self, subject: Subject) -> list[Policy]:
        return [policy for policy in self.snapshot.policies if policy.counts(subject)]

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
        subject = Subject(team_id=row.team_id, call_id=row.pk)
        policy = self._counting(subject)[-1]
        said = evaluate(policy, _full(policy), 10**12, policy.window(subject, self.now))
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


def give_holds_to_latest() -> None:
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
            if window.policy.scope in {"global", "team"}
            and window.scope_value in {"", str(call.team_id)}
            and call.admitted_at >= window.starts_at
        ]
    ModelCall.objects.bulk_update(latest, ["holds"])


def _at_most(call: ModelCall, metric: str) -> int:
    return {"cost": call.estimate_upper or 0, "tokens": call.token_bound, "requests": 1}[metric]


def _charged(call: ModelCall, metric: str) -> int:
    return {"cost": call.cost or 0, "tokens": call.total_tokens or 0, "requests": 1}[metric]
