"""Whether the budgets let a call begin: every hold or none, and never past a hard limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    APPROVAL_REQUIRED,
    BLOCKED,
    HARD_LIMIT,
    OK,
    OVERRIDE_APPLIED,
    SOFT_LIMIT,
    UNKNOWN,
    Admission,
    BudgetEvaluation,
    Counter,
    Demand,
    Hold,
    Policy,
    Subject,
    WindowKey,
    admit,
    evaluate,
    largest,
    scope_value,
)
from governance.windows import BEGINNING, Period

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
TODAY = Period(MIDNIGHT - timedelta(days=1), MIDNIGHT)
METRICS = ("cost", "tokens", "requests")


def policy(**fields: Any) -> Policy:
    defaults: dict[str, Any] = {
        "id": 1,
        "name": "Daily",
        "scope": "team",
        "team_id": None,
        "metric": "tokens",
        "interval": "day",
        "zone": "UTC",
        "soft_limit": None,
        "hard_limit": 100,
    }
    return Policy(**{**defaults, **fields})


JOB = UUID(int=9)


def subject(**fields: Any) -> Subject:
    return Subject(call_id=UUID(int=1), **fields)


def counter(consumed: int = 0, held: int = 0, raised_by: int = 0, window_id: int = 1) -> Counter:
    return Counter(window_id=window_id, consumed=consumed, held=held, raised_by=raised_by)


def said_of(rule_of: Policy, of: Counter, requested: int | None) -> BudgetEvaluation:
    return evaluate(rule_of, of, requested, WindowKey(1, "7", TODAY))


@pytest.mark.parametrize(
    ("limits", "of", "requested", "outcome"),
    [
        pytest.param((None, 100), (0, 0), 100, OK, id="the limit exactly"),
        pytest.param((None, 100), (0, 0), 101, BLOCKED, id="one more than the limit"),
        pytest.param((None, 100), (60, 30), 10, OK, id="consumed and held up to the limit"),
        pytest.param((None, 100), (60, 30), 11, BLOCKED, id="one more than is left"),
        pytest.param((None, 100), (100, 0), 0, OK, id="nothing wanted of a full window"),
        pytest.param((None, 100), (120, 0), 0, BLOCKED, id="past the limit already"),
        pytest.param((None, 0), (0, 0), 1, BLOCKED, id="a limit of nothing"),
        pytest.param((None, 0), (0, 0), 0, OK, id="a limit of nothing, and nothing wanted"),
        pytest.param((50, 100), (0, 0), 50, OK, id="the soft limit exactly"),
        pytest.param((50, 100), (0, 0), 51, SOFT_LIMIT, id="past the soft limit"),
        pytest.param((50, 100), (0, 0), 101, BLOCKED, id="past both"),
        pytest.param((100, 100), (0, 0), 100, OK, id="both limits the same"),
        pytest.param((50, None), (10**9, 0), 1, SOFT_LIMIT, id="a soft limit never blocks"),
        pytest.param((None, 100), (100, 0, 50), 50, OVERRIDE_APPLIED, id="raised, exactly"),
        pytest.param((None, 100), (100, 0, 50), 51, BLOCKED, id="one more than raised"),
        pytest.param((None, 100), (0, 0, 50), 100, OK, id="raised but not needed"),
        pytest.param((50, 100), (60, 0, 50), 10, SOFT_LIMIT, id="raised, past the soft limit"),
        pytest.param((None, 100), (0, 0), None, UNKNOWN, id="unknown under a hard limit"),
        pytest.param((50, 100), (0, 0), None, UNKNOWN, id="unknown under both"),
        pytest.param((50, None), (0, 0), None, OK, id="unknown under a soft limit"),
        pytest.param((None, 100), (0, 0, 50), None, UNKNOWN, id="raising does not price"),
    ],
)
def test_what_a_policy_says_of_a_call(
    limits: tuple[int | None, int | None],
    of: tuple[int, ...],
    requested: int | None,
    outcome: str,
) -> None:
    soft, hard = limits
    rule_of = policy(soft_limit=soft, hard_limit=hard)
    said = said_of(rule_of, counter(*of), requested)
    assert said.outcome == outcome
    assert said.blocks is (outcome in {BLOCKED, UNKNOWN})
    assert (said.policy, said.policy_id, said.scope, said.metric) == ("Daily", 1, "team", "tokens")
    assert (said.consumed, said.held, said.requested) == (of[0], of[1], requested)
    assert said.soft_limit == soft
    assert said.limit == (None if hard is None else hard + sum(of[2:]))
    assert said.resets_at == MIDNIGHT


@pytest.mark.parametrize(
    ("rule_of", "of", "requested", "explanation"),
    [
        (
            policy(),
            counter(60, 30),
            11,
            "“Daily” allows 100 tokens; with 60 tokens consumed and 30 tokens held, there is no "
            "room for 11 tokens, which is what this call may use. It resets at 2026-03-02 00:00 "
            "UTC.",
        ),
        (
            policy(metric="cost", hard_limit=10**9),
            counter(),
            2 * 10**9,
            "“Daily” allows $1.00; with $0.00 consumed and $0.00 held, there is no room for $2.00, "
            "which is what this call may use. It resets at 2026-03-02 00:00 UTC.",
        ),
        (
            policy(metric="cost"),
            counter(),
            None,
            "“Daily” limits cost, and this model has no price, so what the call may cost cannot be "
            "held. Give the model a price, or choose another.",
        ),
        (
            policy(soft_limit=1, metric="requests"),
            counter(1),
            1,
            "This call may take “Daily” past its soft limit of 1 request; it has 1 request "
            "consumed and 0 requests held.",
        ),
        (
            policy(),
            counter(100, 0, 50),
            1,
            "“Daily” was raised from 100 tokens to 150 tokens, and this call may need that; it has "
            "100 tokens consumed and 0 tokens held.",
        ),
        (
            policy(),
            counter(60, 30),
            1,
            "“Daily” has room: 60 tokens consumed and 30 tokens held of 100 tokens.",
        ),
        (
            policy(soft_limit=500, hard_limit=None),
            counter(60, 30),
            1,
            "“Daily” has 60 tokens consumed and 30 tokens held, and no hard limit.",
        ),
    ],
)
def test_it_explains_itself(
    rule_of: Policy, of: Counter, requested: int | None, explanation: str
) -> None:
    assert said_of(rule_of, of, requested).explanation == explanation


def test_a_window_that_never_resets_says_so() -> None:
    said = evaluate(policy(), counter(100), 1, WindowKey(1, "7", Period(BEGINNING, None)))
    assert said.explanation.endswith("It never resets.")
    assert said.as_json()["resets_at"] is None


def test_what_is_left_after_the_call() -> None:
    said = said_of(policy(), counter(60, 10), 20)
    assert (said.remaining, said.share_left()) == (10, 0.1)
    assert said_of(policy(), counter(120), 20).remaining == 0
    without = said_of(policy(hard_limit=None, soft_limit=5), counter(120), 20)
    assert (without.remaining, without.share_left()) == (None, 1.0)


def test_the_ledger_keeps_the_figures() -> None:
    row = said_of(policy(), counter(60, 30), 11).as_json()
    assert row["resets_at"] == "2026-03-02T00:00:00+00:00"
    kept = {name: row[name] for name in ("outcome", "limit", "consumed", "held", "requested")}
    assert kept == {"outcome": BLOCKED, "limit": 100, "consumed": 60, "held": 30, "requested": 11}


def windows(*rules: tuple[Policy, Counter]) -> list[tuple[Policy, WindowKey, Counter]]:
    return [(rule_of, WindowKey(rule_of.id, "7", TODAY), of) for rule_of, of in rules]


@pytest.mark.parametrize(
    ("action", "requested", "outcome", "blocks"),
    [
        ("block", 101, BLOCKED, True),
        ("degrade", 101, BLOCKED, True),
        ("alert", 101, HARD_LIMIT, False),
        ("approval", 101, APPROVAL_REQUIRED, True),
        ("approval", 100, OK, False),
        ("block", None, UNKNOWN, True),
        ("approval", None, UNKNOWN, True),
        ("alert", None, UNKNOWN, False),
    ],
)
def test_what_is_done_at_the_hard_limit(
    action: str, requested: int | None, outcome: str, blocks: bool
) -> None:
    said = said_of(policy(action=action), counter(), requested)
    assert (said.outcome, said.blocks, said.action) == (outcome, blocks, action)


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
    ("metric", "interval", "rate"),
    [
        ("requests", "minute", True),
        ("output_tokens", "minute", True),
        ("cost", "minute", False),
        ("requests", "hour", False),
    ],
)
def test_so_many_requests_or_tokens_a_minute_are_a_rate(
    metric: str, interval: str, rate: bool
) -> None:
    assert said_of(policy(metric=metric, interval=interval), counter(), 1).limits_rate is rate


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
