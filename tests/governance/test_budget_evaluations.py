"""What one policy says of one call."""

from __future__ import annotations

import pytest

from governance.budgets import (
    APPROVAL_REQUIRED,
    BLOCKED,
    HARD_LIMIT,
    OK,
    OVERRIDE_APPLIED,
    SOFT_LIMIT,
    UNKNOWN,
    Counter,
    Policy,
    WindowKey,
    evaluate,
)
from governance.windows import BEGINNING, Period
from tests.governance.entries import MIDNIGHT, counter, policy, said_of


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
