"""What a policy's page shows of its past windows and of what raises its limit, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import reverse

from governance import approval_words, overrides, scope_names
from governance.amounts import amount_text, units_text
from governance.approvals import DECIDE_PERMISSION
from governance.models import BudgetInterval, BudgetMetric, BudgetPolicy
from governance.money import NANO_DOLLARS
from governance.window_history import PastWindow, history, labels, values_with_history
from providers.charts import Chart, Series, bars
from providers.display import NOTHING, moment

# So many scope values may be looked at one by one.
MOST_VALUES = 12
# Whoever decides requests sees them as well.
SEE_REQUESTS = ("governance.view_approval", "governance.change_approval", DECIDE_PERMISSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One past window, in words."""

    since: str
    until: str
    address: str
    used: str
    held: str
    limit: str
    percent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A scope value whose windows can be looked at."""

    name: str
    value: str
    is_shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The last windows of one scope value: a chart, and the same as a table."""

    whose: str
    unit: str
    chart: Chart | None
    rows: tuple[HistoryRow, ...]
    choices: tuple[Choice, ...]
    all_windows: str
    is_by_run: bool
    is_rolling: bool
    has_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRow:
    """Something approved that raises the limit now, in words."""

    whose: str
    more: str
    ends: str
    asked_by: str
    decided_by: str
    address: str
    end_address: str


def history_shown(policy: BudgetPolicy, asked: str | None, now: datetime) -> History:
    """The windows of the scope value `asked`, or of the one that used most: eight queries at most,
    whatever the policy has counted."""
    by_run = policy.interval == BudgetInterval.RUN
    values = [] if by_run else values_with_history(policy, now, MOST_VALUES)
    if asked and asked not in values and _has_windows(policy, asked):
        values = [asked, *values]
    value = asked if asked is not None and asked in values else (values or [""])[0]
    names = scope_names.names((policy.scope, one) for one in values)
    choices = tuple(
        Choice(name=names.whose(policy.scope, one), value=one, is_shown=one == value)
        for one in values
    )
    return _history(
        policy,
        history(policy, value, now) if values else [],
        whose=names.whose(policy.scope, value) if values else "",
        choices=choices if len(choices) > 1 else (),
    )


def history_of_request(policy: BudgetPolicy, scope_value: str, now: datetime) -> History:
    """The last windows of the one scope value that a request for more is about; those of no other
    stand in for them where it has none yet."""
    if policy.interval == BudgetInterval.RUN:
        return _history(policy, [])
    names = scope_names.names([(policy.scope, scope_value)])
    known = _has_windows(policy, scope_value)
    windows = history(policy, scope_value, now) if known else []
    return _history(policy, windows, whose=names.whose(policy.scope, scope_value))


def _has_windows(policy: BudgetPolicy, scope_value: str) -> bool:
    return bool(policy.windows.filter(scope_value=scope_value).exists())


def _history(
    policy: BudgetPolicy,
    windows: list[PastWindow],
    *,
    whose: str = "",
    choices: tuple[Choice, ...] = (),
) -> History:
    list_address = reverse("admin:governance_budgetwindow_changelist")
    return History(
        whose=whose,
        unit="" if policy.metric == BudgetMetric.COST else units_text(policy.metric),
        chart=_chart(policy, windows) if len(windows) > 1 else None,
        rows=tuple(_row(policy, one) for one in reversed(windows)),
        choices=choices,
        all_windows=f"{list_address}?policy__id__exact={policy.pk}",
        is_by_run=policy.interval == BudgetInterval.RUN,
        is_rolling=policy.rolling,
        has_before=any(one.window_id is None and one.consumed for one in windows),
    )


def _row(policy: BudgetPolicy, window: PastWindow) -> HistoryRow:
    zone = ZoneInfo(policy.zone)
    known = window.window_id is not None
    return HistoryRow(
        since="The beginning" if window.ends_at is None else moment(window.starts_at, zone),
        until="No end" if window.ends_at is None else moment(window.ends_at, zone),
        address=reverse("admin:governance_budgetwindow_change", args=[window.window_id])
        if known
        else "",
        used=_amount(policy, window.consumed) if window.consumed else "Nothing",
        held=_amount(policy, window.held) if window.held else NOTHING,
        limit=NOTHING if window.limit is None else _amount(policy, window.limit),
        percent=NOTHING if window.percent is None else f"{window.percent} %",
    )


def _amount(policy: BudgetPolicy, amount: int) -> str:
    """The figure alone where its unit is said above the table."""
    is_cost = policy.metric == BudgetMetric.COST
    return amount_text(policy.metric, amount) if is_cost else f"{amount:,}"


def _chart(policy: BudgetPolicy, windows: list[PastWindow]) -> Chart:
    def drawn(amount: int) -> float:
        # Rounded for drawing only: what is written in figures stays exact.
        dollars = policy.metric == BudgetMetric.COST
        return round(amount / NANO_DOLLARS, 6) if dollars else float(amount)

    series = [
        Series("Consumed", [drawn(one.consumed) for one in windows]),
        Series("Held", [drawn(one.held) for one in windows]),
    ]
    if not policy.rolling and any(one.limit is not None for one in windows):
        # Of a rolling policy the limit is that of all parts together.
        limits = [None if one.limit is None else drawn(one.limit) for one in windows]
        series.append(Series("Limit", limits, is_line=True))
    is_cost = policy.metric == BudgetMetric.COST
    unit = "US dollars" if is_cost else units_text(policy.metric)
    return bars(labels(windows, policy, ZoneInfo(policy.zone)), series, unit=unit)


def overrides_shown(policy: BudgetPolicy, viewer: Any, now: datetime) -> list[OverrideRow]:
    """What raises the policy's limit now, for those who may see requests for more: a bounded number
    of queries."""
    if not any(viewer.has_perm(one) for one in SEE_REQUESTS):
        return []
    may_end = viewer.has_perm(DECIDE_PERMISSION)
    found = approval_words.with_whose(overrides.in_force([policy], now))
    rows = []
    for approval, whose in found:
        ends = overrides.ends_at(approval)
        do = reverse("admin:governance_approval_do", args=[approval.pk, "end"])
        rows.append(
            OverrideRow(
                whose=whose,
                more=amount_text(policy.metric, approval.amount),
                ends="Never by itself" if ends is None else moment(ends),
                asked_by=approval_words.requester(approval),
                decided_by=str(approval.decided_by or "somebody since deleted"),
                address=reverse("admin:governance_approval_change", args=[approval.pk]),
                end_address=do if may_end else "",
            )
        )
    return rows
