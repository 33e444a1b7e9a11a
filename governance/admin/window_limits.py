"""What budgets' windows may reach now, with all that approvals add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from governance.models import BudgetWindow
from governance.snapshot import load_overrides, policy_entry
from governance.window_figures import first_period

Whose = tuple[int, str]


def limits_of(windows: Sequence[BudgetWindow], now: datetime) -> dict[int, int | None]:
    """By window's id, its hard limit, None without one: of a bucket, that of all buckets which
    roll with it. At most two queries.

    A window that is over has what itself was raised by: what was approved until a date counts for
    those that run.
    """
    overrides = load_overrides()
    raised = _raised(windows, now)
    found: dict[int, int | None] = {}
    for window in windows:
        policy = policy_entry(window.policy, overrides.get(window.policy_id, ()))
        limit = policy.hard_limit
        if limit is not None and _counts(window, now):
            limit += policy.raised_by(window.scope_value, now)
            limit += raised.get(_whose(window), 0) if policy.rolling else window.raised_by
        elif limit is not None:
            limit += window.raised_by
        found[window.pk] = limit
    return found


def _whose(window: BudgetWindow) -> Whose:
    return window.policy_id, window.scope_value


def _counts(window: BudgetWindow, now: datetime) -> bool:
    return window.starts_at >= _first(window, now)


def _raised(windows: Sequence[BudgetWindow], now: datetime) -> Mapping[Whose, int]:
    """What the buckets that count now were raised by, of those scope values that have one here."""
    wanted = {_whose(one) for one in windows if one.policy.rolling and _counts(one, now)}
    rows = BudgetWindow.objects.filter(
        policy__in={policy_id for policy_id, _ in wanted},
        scope_value__in={value for _, value in wanted},
        starts_at__gte=min(
            (_first(one, now) for one in windows if one.policy.rolling), default=now
        ),
        raised_by__gt=0,
    ).select_related("policy")
    found: dict[Whose, int] = {}
    for row in rows if wanted else ():
        if _counts(row, now):
            found[_whose(row)] = found.get(_whose(row), 0) + row.raised_by
    return found


def _first(window: BudgetWindow, now: datetime) -> datetime:
    return first_period(window.policy, now).starts_at
