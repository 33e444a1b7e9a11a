"""Rows of the ledger as the real decisions, prices and budgets would have made them.

Nothing is sent and nothing is held: what is written is history. The texts asked are never stored,
so of them only the length is made up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from governance.budgets import Counter, Policy, Subject, evaluate
from governance.calls import Caller, CallRequest
from governance.calls.planning import plan
from governance.ledger.rollups import Rollups
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
from providers.usage import Usage

CHARACTERS_A_TOKEN = 4
OVERLOADED = "The provider answered 503: it is overloaded. The same call may work later."
# Holds are shown on the pages of so many of the latest calls.
LATEST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked, by whom and when; `characters` is the length of the prompt."""

    team: Team
    at: datetime
    model: str
    characters: int
    api_key: ApiKey | None = None
    user_id: int | None = None
    surface: str = Surface.OPENAI
    task_class: str = TaskClass.PRIMARY_INTERACTIVE
    session: str = ""
    streamed: bool = False
    job_id: UUID | None = None
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A call's row with what was decided, yet to be given an end; `actual` names its model."""

    row: ModelCall
    actual: str


class Writer:
    """Makes rows; `chance` alone decides what they differ by."""

    def __init__(self, chance: random.Random, snapshot: Snapshot) -> None:
        self.chance, self.snapshot = chance, snapshot
        self.model = lru_cache(None)(self._model)

    def identifier(self, at: datetime) -> UUID:
        """A UUID of version 7 as it would have been made at that time, but for chance."""
        milliseconds = int(at.timestamp() * 1000)
        low = self.chance.getrandbits(62) | 0x2 << 62
        return UUID(int=milliseconds << 80 | 0x7 << 76 | self.chance.getrandbits(12) << 64 | low)

    def decided(self, asked: Asked) -> Decided:
        """What routing and budgets said of it."""
        words = "word " * (asked.characters // 5)
        request = CallRequest(
            caller=Caller(team_id=asked.team.pk, surface=asked.surface),
            body={"model": asked.model, "messages": [{"role": "user", "content": words}]},
            task_class=TaskClass(asked.task_class),
        )
        decision = plan(request, self.snapshot, asked.at).route.decision
        estimate = decision.estimate
        assert estimate is not None
        row = ModelCall(
            id=self.identifier(asked.at),
            team=asked.team,
            api_key=asked.api_key,
            user_id=asked.user_id,
            surface=asked.surface,
            task_class=asked.task_class,
            session=asked.session,
            streamed=asked.streamed,
            job_id=asked.job_id,
            run_id=asked.run_id,
            requested_model=asked.model,
            provider=decision.provider,
            model=decision.model,
            routing_mode=decision.mode,
            decision=decision.as_json(),
            admitted_at=asked.at,
            estimate_lower=estimate.lower,
            estimate_expected=estimate.expected,
            estimate_upper=estimate.upper,
            expected_input_tokens=len(words) // CHARACTERS_A_TOKEN,
            expected_output_tokens=500,
            token_bound=len(words) + decision.output_cap,
        )
        row.evaluations = [said.as_json() for said in self._evaluations(row)]
        return Decided(row, decision.actual)

    def _evaluations(self, row: ModelCall) -> list[Any]:
        found = []
        subject = Subject(team_id=row.team_id, call_id=row.pk)
        for policy in self._counting(subject):
            requested = {"cost": row.estimate_upper, "requests": 1}.get(policy.metric, 4000)
            limit = policy.hard_limit or 0
            counter = Counter(window_id=0, consumed=limit // 3, held=limit // 50)
            found.append(
                evaluate(policy, counter, requested, policy.window(subject, row.admitted_at))
            )
        return found

    def _counting(self, subject: Subject) -> list[Policy]:
        return [policy for policy in self.snapshot.policies if policy.counts(subject)]

    def answered(
        self,
        one: Decided,
        *,
        took: int | None = None,
        said: tuple[int, int] = (200, 4000),
        share_read: float = 1 / 3,
    ) -> ModelCall:
        """It succeeded, after `took` milliseconds, with so many tokens of output from a range; the
        share of the input that the provider's cache had is `share_read` where it has a price."""
        row, price = one.row, self._price(one.actual)
        read = int(row.expected_input_tokens * share_read) if price.cache_read is not None else 0
        usage = Usage(
            uncached_input=row.expected_input_tokens - read,
            cache_read=read,
            output=self.chance.randint(*said),
            reported=self.chance.random() < 0.95,  # noqa: PLR2004
        )
        took = self.chance.randint(350, 9000) if took is None else took
        self._used(row, usage)
        row.price_id = price.id
        row.cost = cost(price, usage)
        self._compare(row, one, usage)
        self._ended(row, CallStatus.SUCCEEDED, took)
        row.first_token_ms = took // 6 if row.streamed else None
        row.attempts = [_attempt(row, "answered", took)]
        return row

    def from_cache(self, one: Decided) -> ModelCall:
        """It was answered by what was kept of a call just before, for nothing."""
        row = one.row
        self._used(row, Usage(uncached_input=0, output=0, reported=True))
        row.cached, row.cost = True, 0
        self._ended(row, CallStatus.SUCCEEDED, self.chance.randint(2, 9))
        return row

    def failed(self, one: Decided) -> ModelCall:
        """Its provider was overloaded; nothing is billed."""
        row = one.row
        row.failure_class = "transient_upstream"
        row.error = OVERLOADED
        row.cost = 0
        self._ended(row, CallStatus.FAILED, 412)
        row.attempts = [
            {
                **_attempt(row, "failed", 412),
                "failure_class": row.failure_class,
                "http_status": 503,
                "message": row.error,
            }
        ]
        return row

    def cancelled(self, one: Decided) -> ModelCall:
        """Its client left before the answer was through; what was said is paid."""
        row = self.answered(one, said=(20, 200))
        row.status = CallStatus.CANCELLED
        return row

    def unconfirmed(self, one: Decided) -> ModelCall:
        """The process that made it ended before the answer came; what was expected is charged."""
        row = one.row
        usage = Usage(uncached_input=row.expected_input_tokens, output=500, reported=False)
        self._used(row, usage)
        price = self._price(one.actual)
        row.price_id, row.cost = price.id, cost(price, usage)
        row.error = "The process that made it ended. It is charged at what was expected."
        self._ended(row, CallStatus.UNCONFIRMED, 20_000)
        row.latency_ms = None
        return row

    def blocked(self, one: Decided, policy_name: str = "") -> ModelCall:
        """A budget refused it: that of the name, or the last that counts it."""
        row = one.row
        subject = Subject(team_id=row.team_id, call_id=row.pk)
        counting = self._counting(subject)
        policy = next((found for found in counting if found.name == policy_name), counting[-1])
        full = Counter(window_id=0, consumed=policy.hard_limit or 0, held=0)
        said = evaluate(policy, full, 10**12, policy.window(subject, row.admitted_at))
        row.evaluations = [*row.evaluations[:-1], said.as_json()]
        row.error = said.explanation
        self._ended(row, CallStatus.BLOCKED, None)
        return row

    def in_flight(self, one: Decided, owner: ProcessHeartbeat) -> ModelCall:
        """It is under way in that process."""
        row = one.row
        row.status = CallStatus.IN_FLIGHT
        row.owner = owner.pk
        row.expires_at = row.admitted_at + timedelta(days=1)
        return row

    def _used(self, row: ModelCall, usage: Usage) -> None:
        row.uncached_input_tokens = usage.uncached_input
        row.cache_read_tokens = usage.cache_read
        row.cache_write_5m_tokens = row.cache_write_1h_tokens = 0
        row.output_tokens = usage.output
        row.usage_reported = usage.reported

    def _compare(self, row: ModelCall, one: Decided, usage: Usage) -> None:
        """What the same would have cost with the other choice, where there is one."""
        default, recommended = row.decision.get("default"), row.decision.get("recommended")
        other = {"dry_run": recommended, "enforced": default}.get(row.routing_mode)
        if other and other != one.actual and self.model(other) is not None:
            row.compared_cost = cost(self._price(other), usage)

    def _price(self, name: str) -> Any:
        return self.snapshot.prices[self.model(name).id][0]

    def _model(self, name: str) -> Any:
        models = self.snapshot.registry.models
        return next((one for one in models if one.qualified_name == name), None)

    @staticmethod
    def _ended(row: ModelCall, status: CallStatus, took: int | None) -> None:
        row.status = status
        row.latency_ms = took
        row.settled_at = row.admitted_at + timedelta(milliseconds=took or 0)


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


def store(rows: list[ModelCall]) -> None:
    """Write the calls, and add them to the sums beside the ledger."""
    ModelCall.objects.bulk_create(rows, batch_size=500)
    usage = Rollups()
    usage.add(rows)
    usage.write()


def give_holds_to_latest() -> None:
    """Give the latest calls the holds that were charged to the windows of now."""
    latest = ModelCall.objects.filter(status=CallStatus.SUCCEEDED, cached=False).order_by(
        "-admitted_at"
    )[:LATEST]
    windows = list(BudgetWindow.objects.select_related("policy").order_by("pk"))
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
            and window.starts_at <= call.admitted_at
            and (window.ends_at is None or call.admitted_at < window.ends_at)
        ]
    ModelCall.objects.bulk_update(latest, ["holds"])


def _at_most(call: ModelCall, metric: str) -> int:
    return {"cost": call.estimate_upper or 0, "tokens": call.token_bound, "requests": 1}[metric]


def _charged(call: ModelCall, metric: str) -> int:
    return {"cost": call.cost or 0, "tokens": call.total_tokens or 0, "requests": 1}[metric]
