"""The ledger against a model of a few lines: any order of calls, ends, policies and passing time.

The model keeps the calls and nothing else, and sums them up anew each time it is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from governance import processes
from governance.ledger import Admitted, Reheld, Settlement, never_sent, sweeper
from governance.ledger.store import LedgerStore
from governance.models import (
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    BudgetMetric,
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
    ModelCall,
)
from providers.identifiers import new_id
from tests.governance.ledger_calls import (
    Amounts,
    Who,
    asking,
    ending,
    make_key,
    make_person,
    moving,
    value_of,
)
from tests.support.factories import make_policy, make_team

# After the present, because what was approved until a date is read by the database's own clock.
START = datetime(2040, 1, 2, 11, 30, tzinfo=UTC)
HOUR, BUCKET = timedelta(hours=1), timedelta(minutes=5)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# Most ways to count are by the calendar; what rolls deserves more than its share.
KINDS = [("hour", False), ("day", False), ("total", False), ("run", False), ("hour", True)]
INTERVALS = [*KINDS, ("hour", True)]
amounts = st.builds(
    Amounts, cost=st.integers(0, 60), entered=st.integers(0, 40), left=st.integers(0, 20)
)
metrics = st.sampled_from([*BudgetMetric.values, "requests"])
scopes = st.sampled_from(BudgetScope.values)


@dataclass(slots=True)
class Made:
    """A call of the model: who made it and when, what it holds, and what it is charged."""

    id: UUID
    who: Who
    at: datetime
    held: dict[str, int]
    charged: dict[str, int] = field(default_factory=dict)
    settled: bool = False

    @property
    def run(self) -> UUID:
        return self.who.run or self.id


@dataclass(slots=True)
class Model:
    """What a budget has, by its calls."""

    calls: dict[UUID, Made] = field(default_factory=dict)

    def value(self, policy: BudgetPolicy, who: Who) -> str | None:
        """The scope's value that the policy counts the call for; None if it does not."""
        value = value_of(who, policy.scope)
        counts = policy.team in (None, who.team) and policy.value in ("", value)
        return value if counts else None

    def starts(self, policy: BudgetPolicy, at: datetime) -> datetime:
        """Where the window or bucket begins."""
        if policy.interval in ("total", "run"):
            return LONG_AGO
        hour = at.replace(minute=0, second=0, microsecond=0)
        if policy.rolling:
            return hour + (at - hour) // BUCKET * BUCKET
        return hour if policy.interval == "hour" else hour.replace(hour=0)

    def together(self, policy: BudgetPolicy, one: Made, other: Made, now: datetime) -> bool:
        """Whether the other call counts for the one, which is asked about now."""
        if self.value(policy, one.who) != self.value(policy, other.who):
            return False
        if policy.interval == "run":
            return one.run == other.run
        starts = self.starts(policy, other.at)
        lately = policy.rolling and now - HOUR - BUCKET < starts <= now + BUCKET
        return lately or starts == self.starts(policy, one.at)

    def used(self, policy: BudgetPolicy, one: Made, now: datetime) -> tuple[int, int]:
        """Consumed and held for that call, without what it holds itself."""
        counted = [other for other in self.calls.values() if self.together(policy, one, other, now)]
        return (
            sum(other.charged.get(policy.metric, 0) for other in counted),
            sum(other.held.get(policy.metric, 0) for other in counted if other is not one),
        )

    def window(self, policy: BudgetPolicy, row: BudgetWindow) -> tuple[int, int]:
        """Consumed and held of one window."""
        value, _, run = row.scope_value.partition("|")
        counted = [
            one
            for one in self.calls.values()
            if self.value(policy, one.who) == value
            and self.starts(policy, one.at) == row.starts_at
            and run in ("", f"{one.run}")
        ]
        return (
            sum(one.charged.get(policy.metric, 0) for one in counted),
            sum(one.held.get(policy.metric, 0) for one in counted),
        )


class Clock:
    """The store's present."""

    present = START

    @classmethod
    def now(cls) -> datetime:
        return cls.present


def holding(demanded: Amounts) -> dict[str, int]:
    return {metric: demanded.demand.amount(metric) or 0 for metric in BudgetMetric.values} | {
        "requests": 1
    }


def charging(settlement: Settlement) -> dict[str, int]:
    usage = settlement.usage
    return {
        "cost": settlement.cost or 0,
        "tokens": usage.uncached_input + usage.output,
        "input_tokens": usage.uncached_input,
        "output_tokens": usage.output,
        "requests": settlement.requests,
    }


class LedgerMachine(RuleBasedStateMachine):
    """Any order of everything that the ledger can be asked."""

    policies = Bundle("policies")
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        Clock.present = START
        owner = new_id()
        processes.beat(owner, "web", timezone.now())
        self.store, self.model = LedgerStore(owner), Model()
        self.limits: dict[int, BudgetPolicy] = {}
        self.raised: list[tuple[int, str, int, datetime]] = []
        jobs, runs, people = [new_id()], [new_id(), None], [make_person() for _ in range(2)]
        self.callers = [
            Who(
                team=team,
                key=key,
                user=people[index],
                session=session,
                job=jobs[0],
                run=runs[index],
            )
            for index, team in enumerate([make_team(), make_team()])
            for key in [make_key(team)]
            for session in ("talk", "chat")
        ]

    def teardown(self) -> None:
        try:
            for call in self.model.calls.values():
                if not call.settled:
                    self._end(call, ending(call.id))
            self.the_windows_are_the_sums()
            assert not BudgetWindow.objects.exclude(held=0).exists()
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    @initialize(target=policies, metric=metrics, limit=st.integers(40, 600))
    def first_policy(self, metric: str, limit: int) -> Any:
        return self.new_policy(
            scope="global",
            metric=metric,
            interval=("hour", True),
            limit=limit,
            named=None,
            of_team=False,
            action="block",
        )

    @rule(
        target=policies,
        scope=scopes,
        metric=metrics,
        interval=st.sampled_from(INTERVALS),
        limit=st.integers(40, 600),
        named=st.sampled_from([None, None, None, 0, 3]),
        of_team=st.booleans(),
        action=st.sampled_from(["block", "block", "alert"]),
    )
    def new_policy(
        self,
        *,
        scope: str,
        metric: str,
        interval: tuple[str, bool],
        limit: int,
        named: int | None,
        of_team: bool,
        action: str,
    ) -> int:
        who = self.callers[named or 0]
        value = "" if named is None or scope in ("global", "team") else value_of(who, scope)
        of_a_session = scope == "session" and value != ""
        policy = make_policy(
            scope=scope,
            metric=metric,
            interval=interval[0],
            rolling=interval[1],
            hard_limit=limit // 40 if metric == "requests" else limit,
            value=value,
            team=who.team if scope != "global" and (of_team or of_a_session) else None,
            action=action,
        )
        BudgetPolicy.objects.filter(pk=policy.pk).update(created_at=Clock.present)
        self.limits[policy.pk] = policy
        return policy.pk

    @rule(policy_id=policies, limit=st.integers(0, 600), enabled=st.booleans())
    def change(self, policy_id: int, limit: int, enabled: bool) -> None:
        policy = self.limits[policy_id]
        policy.hard_limit, policy.enabled = limit, enabled
        BudgetPolicy.objects.filter(pk=policy_id).update(hard_limit=limit, enabled=enabled)

    @rule(policy_id=policies, whose=st.integers(0, 3), amount=st.integers(1, 200))
    def approve_until_a_date(self, policy_id: int, whose: int, amount: int) -> None:
        who, until = self.callers[whose], Clock.present + timedelta(minutes=50)
        value = value_of(who, self.limits[policy_id].scope)
        Approval.objects.create(
            team=who.team,
            policy_id=policy_id,
            amount=amount,
            scope_value=value,
            until=ApprovalUntil.DATE,
            expires_at=until,
            reason="More is needed.",
            requested_by=who.user,
            status=ApprovalStatus.APPROVED,
        )
        self.raised.append((policy_id, value, amount, until))

    @rule(minutes=st.sampled_from([1, 4, 26, 61, 61, 63, 700]))
    def time_passes(self, minutes: int) -> None:
        Clock.present += timedelta(minutes=minutes)

    @rule(
        target=calls,
        whose=st.integers(0, 3),
        provider=st.sampled_from("pq"),
        demanded=amounts,
        late=st.sampled_from([0, 0, 3, 8]),
    )
    def begin(self, whose: int, provider: str, demanded: Amounts, late: int) -> UUID:
        who = replace(self.callers[whose], provider=provider)
        request = asking(who, demanded, at=Clock.present - timedelta(minutes=late))
        call = Made(request.call_id, who, request.admitted_at, holding(demanded))
        expected = self._expected(call)

        (answer,) = self.store.execute([request])

        assert isinstance(answer, Admitted)
        said = {
            one.policy_id: (one.consumed, one.held, one.limit)
            for one in answer.admission.evaluations
        }
        assert said == expected
        if answer.admission.blocking is None:
            self.model.calls[call.id] = call
        assert (answer.admission.blocking is None) == self._fits(call, expected)
        return call.id

    @rule(
        target=calls,
        whose=st.integers(0, 3),
        demanded=st.lists(amounts, min_size=2, max_size=6),
    )
    def begin_together(self, whose: int, demanded: list[Amounts]) -> Any:
        """One batch decides one after another."""
        who = self.callers[whose]
        requests = [asking(who, one, at=Clock.present) for one in demanded]
        answers = self.store.execute(requests)
        for request, one, answer in zip(requests, demanded, answers, strict=True):
            assert isinstance(answer, Admitted)
            call = Made(request.call_id, who, request.admitted_at, holding(one))
            assert (answer.admission.blocking is None) == self._fits(call, self._expected(call))
            if answer.admission.blocking is None:
                self.model.calls[call.id] = call
        return multiple(*(request.call_id for request in requests))

    @rule(
        call_id=calls,
        demanded=amounts,
        provider=st.sampled_from("pq"),
        model=st.sampled_from("mn"),
    )
    def go_on(self, call_id: UUID, demanded: Amounts, provider: str, model: str) -> None:
        (answer,) = self.store.execute([moving(call_id, demanded, provider=provider, model=model)])
        assert isinstance(answer, Reheld)
        call = self.model.calls.get(call_id)
        if call is None or not call.held:
            assert answer.refusal
            return
        before = call.who, call.held
        call.who = replace(call.who, provider=provider, model=model)
        call.held = holding(demanded)
        fits = self._fits(call, self._expected(call))
        assert (answer.refusal == "") == fits
        if not fits:
            call.who, call.held = before

    @rule(
        call_id=calls,
        cost=st.integers(0, 150),
        entered=st.integers(0, 60),
        left=st.integers(0, 60),
    )
    def settle(self, call_id: UUID, cost: int, entered: int, left: int) -> None:
        """Once; a call that was swept is corrected, and what was never admitted is unknown."""
        settlement = ending(call_id, cost=cost, entered=entered, left=left)
        self._end(self.model.calls.get(call_id), settlement)

    @rule(call_id=calls)
    def give_up(self, call_id: UUID) -> None:
        self._end(self.model.calls.get(call_id), never_sent(call_id, timezone.now()))

    @rule(call_id=calls)
    @precondition(lambda self: self.model.calls)
    def sweep(self, call_id: UUID) -> None:
        ModelCall.objects.filter(pk=call_id).update(owner=new_id())
        orphans = sweeper.orphans(silence_counts=False)
        call = self.model.calls.get(call_id)
        assert [one.call_id for one in orphans] == ([call_id] if call and call.held else [])
        self.store.execute(orphans)
        for one in orphans:
            assert call is not None
            call.held, call.charged = {}, charging(one)

    @invariant()
    def the_windows_are_the_sums(self) -> None:
        for row in BudgetWindow.objects.all():
            assert (row.consumed, row.held) == self.model.window(self.limits[row.policy_id], row)

    def _end(self, call: Made | None, settlement: Settlement) -> None:
        (first,) = self.store.execute([settlement])
        assert first == (call is not None and not call.settled)
        if call is not None and first:
            call.held, call.charged, call.settled = {}, charging(settlement), True

    def _expected(self, call: Made) -> dict[int, tuple[int, int, int]]:
        """By policy that is enabled and counts the call: consumed, held, and the limit."""
        return {
            pk: (*self.model.used(policy, call, Clock.present), self._limit(policy, call))
            for pk, policy in self.limits.items()
            if policy.enabled and self.model.value(policy, call.who) is not None
        }

    def _limit(self, policy: BudgetPolicy, call: Made) -> int:
        value = self.model.value(policy, call.who)
        raised = (
            amount
            for pk, of, amount, until in self.raised
            if (pk, of) == (policy.pk, value) and until > Clock.present
        )
        return (policy.hard_limit or 0) + sum(raised)

    def _fits(self, call: Made, expected: dict[int, tuple[int, int, int]]) -> bool:
        return all(
            consumed + held + call.held[self.limits[pk].metric] <= limit
            for pk, (consumed, held, limit) in expected.items()
            if self.limits[pk].action == "block"
        )


def test_the_ledger_is_the_sum_of_its_calls(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.ledger.store.timezone", Clock)
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=20, stateful_step_count=40, deadline=None)
    )
