"""Policies, counters and windows as decisions see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from governance.budgets import (
    BudgetEvaluation,
    Counter,
    Policy,
    WindowKey,
    evaluate,
)
from governance.windows import Period

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
TODAY = Period(MIDNIGHT - timedelta(days=1), MIDNIGHT)


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


def counter(consumed: int = 0, held: int = 0, raised_by: int = 0, window_id: int = 1) -> Counter:
    return Counter(window_id=window_id, consumed=consumed, held=held, raised_by=raised_by)


def said_of(rule_of: Policy, of: Counter, requested: int | None) -> BudgetEvaluation:
    return evaluate(rule_of, of, requested, WindowKey(1, "7", TODAY))
