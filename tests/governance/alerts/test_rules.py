"""Each rule, by tables: what it says nothing of, and what it does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from governance.alerts import rules
from governance.alerts.rules import (
    CallsFact,
    Condition,
    HealthFact,
    HourFact,
    MixFact,
    PriceFact,
    WindowFact,
)

NOON = datetime(2026, 3, 11, tzinfo=UTC)
DAY = timedelta(days=1)
DOLLAR = 10**9
WINDOW = WindowFact(
    window="7",
    policy="Monthly",
    scope_value="",
    whose="",
    team_id=1,
    metric="requests",
    limit=1000,
    used=0,
    thresholds=(50, 90, 100),
    starts_at=NOON - 10 * DAY,
    ends_at=NOON + 10 * DAY,
)
HOUR = HourFact(
    team_id=1, team="Blue", hour=NOON, cost=6 * DOLLAR, cost_before=24 * DOLLAR, busy_hours=12
)
MIX = MixFact(
    team_id=1,
    team="Blue",
    model="far/small",
    today=20,
    all_today=40,
    before=20,
    all_before=100,
    day=NOON,
)
CALLS = CallsFact(team_id=1, team="Blue", model="far/small", calls=2, amount=DOLLAR, latest=NOON)


@pytest.mark.parametrize(
    ("used", "reached"),
    [(0, []), (499, []), (500, [50]), (899, [50]), (900, [50, 90]), (1001, [50, 90, 100])],
)
def test_thresholds(used: int, reached: list[int]) -> None:
    found = list(rules.budget_thresholds([replace(WINDOW, used=used)]))
    assert [one.detail["threshold"] for one in found] == reached
    assert [one.key for one in found] == [f"budget_threshold:7:{one}" for one in reached]


def test_a_threshold_says_whose_budget_it_is() -> None:
    [found] = rules.budget_thresholds(
        [replace(WINDOW, used=500, scope_value="3", whose="key builder")]
    )
    assert (
        found.explanation == "500 requests of 1,000 requests are consumed or held, for key builder."
    )


@pytest.mark.parametrize(("used", "reached"), [(0, []), (1, [50, 90, 100])])
def test_of_a_limit_of_nothing_something_must_be_used(used: int, reached: list[int]) -> None:
    found = rules.budget_thresholds([replace(WINDOW, limit=0, used=used)])
    assert [one.detail["threshold"] for one in found] == reached


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"used": 500}, None),
        ({"used": 501}, "1002"),
        ({"used": 1000}, None),
        ({"used": 501, "ends_at": None}, None),
        ({"used": 501, "rolling": True}, None),
        ({"used": 900, "starts_at": NOON - DAY, "ends_at": NOON + 10 * DAY}, None),
        ({"used": 900, "starts_at": NOON - DAY, "ends_at": NOON + 9 * DAY}, "9000"),
    ],
)
def test_forecasts(change: dict[str, object], expected: str | None) -> None:
    found = list(rules.forecasts([replace(WINDOW, **change)], NOON))  # type: ignore[arg-type]
    assert [one.detail["expected"] for one in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("change", "spike"),
    [
        ({}, True),
        ({"cost": 6 * DOLLAR - 1}, False),
        ({"busy_hours": 11, "cost": 99 * DOLLAR}, False),
        ({"cost": DOLLAR - 1, "cost_before": 12}, False),
        ({"cost": DOLLAR, "cost_before": 12}, True),
    ],
)
def test_cost_spikes(change: dict[str, int], spike: bool) -> None:
    assert bool(list(rules.cost_spikes([replace(HOUR, **change)], 3))) is spike  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "unusual"),
    [
        ({}, True),
        ({"today": 19}, False),
        ({"today": 0, "before": 30}, True),
        ({"today": 19, "all_today": 19}, False),
        ({"before": 0, "all_before": 99}, False),
    ],
)
def test_unusual_mixes(change: dict[str, int], unusual: bool) -> None:
    assert bool(list(rules.unusual_mixes([replace(MIX, **change)]))) is unusual  # type: ignore[arg-type]


@pytest.mark.parametrize(("open_", "severity"), [(True, "critical"), (False, "warning")])
def test_provider_health(open_: bool, severity: str) -> None:
    fact = HealthFact(provider="far", fault="No answer.", breaker_open=open_, since=None)
    [found] = rules.provider_health([fact])
    assert (found.key, found.severity) == ("provider_health:far", severity)


def test_calls_with_something_in_common() -> None:
    found: list[Condition] = [
        *rules.routing_overrides([CALLS]),
        *rules.overruns([CALLS]),
        *rules.unconfirmed_calls([CALLS]),
    ]
    kinds = ["routing_override", "overrun", "unconfirmed_calls"]
    assert [one.key for one in found] == [f"{kind}:1:far/small" for kind in kinds]
    assert all("2 calls" in one.explanation for one in found)


@pytest.mark.parametrize(("days", "stale"), [(89, False), (90, True)])
def test_stale_prices(days: int, stale: bool) -> None:
    fact = PriceFact(model="far/small", confirmed_at=NOON - days * DAY)
    assert bool(list(rules.stale_prices([fact], 90, NOON))) is stale
