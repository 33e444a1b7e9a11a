"""Whether the budgets let a call begin: every hold or none, and never past a hard limit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from governance.budgets import (
    BLOCKED,
    OK,
    UNKNOWN,
    Admission,
    Counter,
    Demand,
    Hold,
    Policy,
    Subject,
    WindowKey,
    admit,
    largest,
    scope_value,
)
from tests.governance.entries import MIDNIGHT, TODAY, counter, policy, said_of

METRICS = ("cost", "tokens", "requests")
JOB = UUID(int=9)


def subject(**fields: Any) -> Subject:
    return Subject(call_id=UUID(int=1), **fields)


def windows(*rules: tuple[Policy, Counter]) -> list[tuple[Policy, WindowKey, Counter]]:
    return [(rule_of, WindowKey(rule_of.id, "7", TODAY), of) for rule_of, of in rules]


def test_past_a_limit_that_only_alerts_a_call_is_held_all_the_same() -> None:
    admission = admit(
        Demand(cost=None, input_tokens=10, output_tokens=0),
        windows((policy(action="alert", hard_limit=1), counter(5))),
    )
    assert admission.blocking is None
    assert admission.holds == (Hold(window_id=1, metric="tokens", amount=10),)
    assert admission.evaluations[0].explanation == (
        "This call may take “Daily” past its limit of 1 token, which only alerts; it has 5 tokens "
        "consumed and 0 tokens held."
    )


@pytest.mark.parametrize(
    ("metric", "amount"),
    [("cost", 5), ("tokens", 10), ("input_tokens", 7), ("output_tokens", 3), ("requests", 1)],
)
def test_each_metric_has_its_part_of_a_demand(metric: str, amount: int) -> None:
    assert Demand(cost=5, input_tokens=7, output_tokens=3).amount(metric) == amount


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-25, 25))
def test_the_largest_that_fits(lowest: int, highest: int, bound: int) -> None:
    fitting = [one for one in range(lowest, highest + 1) if one <= bound]
    found = largest(lambda one: one <= bound, lowest, highest)
    assert found == max(fitting, default=None)


def test_a_call_is_held_on_every_window_in_its_own_metric() -> None:
    admission = admit(
        Demand(cost=5_000, input_tokens=100, output_tokens=20),
        windows(
            (policy(id=1, metric="cost", hard_limit=10_000), counter(window_id=11)),
            (policy(id=2, metric="tokens", hard_limit=500), counter(window_id=12)),
            (policy(id=3, metric="requests", hard_limit=3), counter(window_id=13)),
        ),
    )
    assert admission.blocking is None
    assert admission.holds == (
        Hold(window_id=11, metric="cost", amount=5_000),
        Hold(window_id=12, metric="tokens", amount=120),
        Hold(window_id=13, metric="requests", amount=1),
    )


def test_one_refusal_holds_nothing_anywhere_and_every_policy_still_speaks() -> None:
    admission = admit(
        Demand(cost=5_000, input_tokens=100, output_tokens=20),
        windows(
            (policy(id=1, metric="cost", hard_limit=10_000), counter(window_id=11)),
            (policy(id=2, metric="tokens", hard_limit=100), counter(window_id=12)),
            (policy(id=3, metric="requests", hard_limit=0), counter(window_id=13)),
        ),
    )
    assert admission.holds == ()
    assert [said.outcome for said in admission.evaluations] == [OK, BLOCKED, BLOCKED]
    assert admission.blocking is admission.evaluations[1]


def test_an_unpriced_call_is_refused_where_cost_is_limited_only() -> None:
    demand = Demand(cost=None, input_tokens=10, output_tokens=0)
    limited = admit(demand, windows((policy(metric="cost"), counter())))
    assert limited.blocking is not None
    assert limited.blocking.outcome == UNKNOWN
    watched = windows(
        (policy(id=1, metric="cost", hard_limit=None, soft_limit=5), counter(window_id=11)),
        (policy(id=2, metric="tokens"), counter(window_id=12)),
    )
    assert admit(demand, watched) == Admission(
        tuple(said_of(rule_of, of, demand.amount(rule_of.metric)) for rule_of, _, of in watched),
        (Hold(window_id=12, metric="tokens", amount=10),),
    )


def test_a_disabled_policy_has_no_say_but_counts_on() -> None:
    admission = admit(
        Demand(cost=None, input_tokens=10, output_tokens=0),
        windows((policy(enabled=False, hard_limit=1), counter(5))),
    )
    assert admission.evaluations == ()
    assert admission.holds == (Hold(window_id=1, metric="tokens", amount=10),)


def test_without_policies_everything_is_allowed() -> None:
    assert admit(Demand(cost=None, input_tokens=10**12, output_tokens=0), []) == Admission((), ())


@pytest.mark.parametrize(
    ("rule_of", "applies", "value"),
    [
        pytest.param(policy(scope="global"), {7: True, 8: True}, "", id="everyone together"),
        pytest.param(policy(scope="team"), {7: True, 8: True}, "7", id="each team by itself"),
        pytest.param(policy(scope="team", team_id=7), {7: True, 8: False}, "7", id="one team"),
    ],
)
def test_whose_calls_a_policy_counts(rule_of: Policy, applies: dict[int, bool], value: str) -> None:
    assert {team: rule_of.counts(subject(team_id=team)) for team in applies} == applies
    found = rule_of.window(subject(team_id=7), MIDNIGHT - timedelta(hours=3))
    assert found == WindowKey(1, value, TODAY)


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("global", ""),
        ("team", "7"),
        ("user", "3"),
        ("session", "7:lunch"),
        ("api_key", "5"),
        ("job", str(JOB)),
        ("provider", "openai"),
        ("model", "openai/gpt"),
    ],
)
def test_each_scope_has_a_value_of_its_own(scope: str, value: str) -> None:
    full = subject(
        team_id=7,
        user_id=3,
        session="lunch",
        api_key_id=5,
        job_id=JOB,
        provider="openai",
        model="gpt",
    )
    each, named = policy(scope=scope), policy(scope=scope, value=value)
    assert scope_value(scope, full) == value
    assert each.counts(full)
    assert named.counts(full)
    assert policy(scope=scope, value="another").counts(full) is False
    assert policy(scope=scope, team_id=8).counts(full) is False
    if scope not in ("global", "team"):
        # A call without a person, session and so on is counted by nobody's policy of that scope.
        assert each.counts(subject(team_id=7)) is False


class Holding(RuleBasedStateMachine):
    """Calls come, end and are raised for in any order, over three windows at once.

    The model is arithmetic alone: a call is admitted if, and only if, it fits everywhere.
    """

    calls = Bundle("calls")

    @initialize(limits=st.tuples(*[st.integers(0, 50)] * len(METRICS)))
    def begin(self, limits: tuple[int, ...]) -> None:
        self.policies = [
            policy(id=index, metric=metric, hard_limit=limit)
            for index, (metric, limit) in enumerate(zip(METRICS, limits, strict=True))
        ]
        self.consumed = dict.fromkeys(METRICS, 0)
        self.held = dict.fromkeys(METRICS, 0)
        self.raised = dict.fromkeys(METRICS, 0)

    def limit(self, metric: str) -> int:
        hard = self.policies[METRICS.index(metric)].hard_limit
        assert hard is not None
        return hard + self.raised[metric]

    def windows(self) -> list[tuple[Policy, WindowKey, Counter]]:
        return windows(
            *(
                (
                    rule_of,
                    counter(
                        self.consumed[rule_of.metric],
                        self.held[rule_of.metric],
                        self.raised[rule_of.metric],
                        window_id=rule_of.id,
                    ),
                )
                for rule_of in self.policies
            )
        )

    @rule(target=calls, cost=st.none() | st.integers(0, 20), tokens=st.integers(0, 20))
    def ask(self, cost: int | None, tokens: int) -> Any:
        demand = Demand(cost=cost, input_tokens=tokens, output_tokens=0)
        fits = cost is not None and all(
            self.consumed[metric] + self.held[metric] + (demand.amount(metric) or 0)
            <= self.limit(metric)
            for metric in METRICS
        )
        admission = admit(demand, self.windows())
        assert (admission.blocking is None) is fits
        if not fits:
            assert admission.holds == ()
            return multiple()
        held = {hold.metric: hold.amount for hold in admission.holds}
        assert held == {"cost": cost, "tokens": tokens, "requests": 1}
        for metric, amount in held.items():
            self.held[metric] += amount
        return held

    @rule(held=consumes(calls), share=st.floats(0, 1))
    def settle(self, held: dict[str, int], share: float) -> None:
        """What was used is at most what was held: that is what the estimate's bound is for."""
        for metric, amount in held.items():
            self.held[metric] -= amount
            self.consumed[metric] += int(amount * share)

    @rule(metric=st.sampled_from(METRICS), amount=st.integers(1, 30))
    def raise_limit(self, metric: str, amount: int) -> None:
        self.raised[metric] += amount

    @invariant()
    def nothing_is_past_its_limit(self) -> None:
        for metric in METRICS if hasattr(self, "policies") else ():
            assert 0 <= self.consumed[metric] + self.held[metric] <= self.limit(metric)


TestHolding = Holding.TestCase
