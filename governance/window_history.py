"""The last windows of a budget, one after the other: what each came to, of which limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from django.db.models import Sum

from governance.models import BudgetInterval, BudgetPolicy, BudgetWindow
from governance.policy_usage import used_by_step
from governance.windows import Period, period, rolling_periods

# So many windows back, the one that runs among them.
SHOWN = {
    BudgetInterval.MINUTE: 30,
    BudgetInterval.HOUR: 24,
    BudgetInterval.DAY: 30,
    BudgetInterval.WEEK: 13,
    BudgetInterval.MONTH: 12,
    BudgetInterval.QUARTER: 8,
    BudgetInterval.YEAR: 5,
}
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastWindow:
    """What one window, or one part of a rolling one, came to, in the metric's units.

    `limit` is today's with what that window was raised by, None without one: policies keep no
    record of the limits they had, the audit trail does. `window_id` is None where the policy
    counted nothing then; what it would have counted is told all the same.
    """

    starts_at: datetime
    ends_at: datetime | None
    consumed: int = 0
    held: int = 0
    limit: int | None = None
    window_id: int | None = None

    @property
    def percent(self) -> int | None:
        """How much of the limit is consumed or held, rounded down."""
        return (self.consumed + self.held) * 100 // self.limit if self.limit else None


def recent_periods(policy: BudgetPolicy, now: datetime) -> list[Period]:
    """The periods that have passed last and the one that runs, in order; of a rolling policy, the
    parts it is counted in. Pure."""
    if policy.interval not in SHOWN:
        return [period(policy.interval, policy.zone, now)]
    if policy.rolling:
        return [one for one in rolling_periods(policy.interval, now) if one.starts_at <= now]
    found = [period(policy.interval, policy.zone, now)]
    while len(found) < SHOWN[BudgetInterval(policy.interval)]:
        found.append(period(policy.interval, policy.zone, found[-1].starts_at - _INSTANT))
    return found[::-1]


def history(policy: BudgetPolicy, scope_value: str, now: datetime) -> list[PastWindow]:
    """The last windows of one scope value, those without use among them: four queries at most.

    Of a time when the policy was not there yet, what it would have counted is told, from the sums.
    """
    periods = recent_periods(policy, now)
    rows = BudgetWindow.objects.filter(
        policy=policy, scope_value=scope_value, starts_at__gte=periods[0].starts_at
    )
    by_start = {row.starts_at: row for row in rows}
    before = _before(policy, scope_value, periods, now)
    return [
        _past(policy, one, by_start.get(one.starts_at), used)
        for one, used in zip(periods, before, strict=True)
    ]


def _before(
    policy: BudgetPolicy, scope_value: str, periods: Sequence[Period], now: datetime
) -> list[int]:
    """By period, what the policy would have counted; minutes are too short to be looked up."""
    if policy.interval in (BudgetInterval.MINUTE, BudgetInterval.TOTAL):
        return [0] * len(periods)
    bounds = [*(one.starts_at for one in periods), periods[-1].ends_at or now]
    return used_by_step(policy, scope_value, bounds, now)


def _past(policy: BudgetPolicy, one: Period, row: BudgetWindow | None, used: int) -> PastWindow:
    limit = policy.hard_limit if policy.hard_limit is not None else policy.soft_limit
    if row is None:
        return PastWindow(starts_at=one.starts_at, ends_at=one.ends_at, limit=limit, consumed=used)
    return PastWindow(
        starts_at=one.starts_at,
        ends_at=one.ends_at,
        consumed=row.consumed,
        held=row.held,
        limit=None if limit is None else limit + row.raised_by,
        window_id=row.pk,
    )


def values_with_history(policy: BudgetPolicy, now: datetime, most: int) -> list[str]:
    """The scope values that used most in those windows, at most so many: one query."""
    since = recent_periods(policy, now)[0].starts_at
    rows = BudgetWindow.objects.filter(policy=policy, starts_at__gte=since).order_by()
    summed = rows.values("scope_value").annotate(total=Sum("consumed"))
    ranked = summed.order_by("-total", "scope_value").values_list("scope_value", flat=True)
    return list(ranked[:most])


def labels(windows: Iterable[PastWindow], policy: BudgetPolicy, zone: tzinfo) -> list[str]:
    """What the windows are called on an axis, short: 4 Nov, Nov 2026, 09:00."""
    return [_label(one.starts_at.astimezone(zone), policy) for one in windows]


def _label(local: datetime, policy: BudgetPolicy) -> str:
    interval = policy.interval
    if interval == BudgetInterval.TOTAL:
        return "All time"
    if interval in (BudgetInterval.MINUTE, BudgetInterval.HOUR) or (
        policy.rolling and interval == BudgetInterval.DAY
    ):
        return f"{local:%H:%M:%S}" if policy.rolling and interval == "minute" else f"{local:%H:%M}"
    if policy.rolling or interval in (BudgetInterval.DAY, BudgetInterval.WEEK):
        return f"{local.day} {local:%b}"
    if interval == BudgetInterval.YEAR:
        return f"{local:%Y}"
    return f"{local:%b %Y}"
