"""What was used, as the JSON API tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import date
from typing import Any

from ninja import Schema
from pydantic import Field

from governance.amounts import amount_json
from governance.api.conventions import dollars_json
from governance.models import UsageSession
from governance.money import decimal_text
from governance.usage import Part, Savings, Step, Totals
from governance.usage.forecast import SpendForecast, WindowForecast
from governance.usage.latency import Latency
from governance.usage.names import Named
from providers.api.conventions import Moment

WHOLE = 10_000


class TotalsOut(Schema):
    """Calls that ended and what they used. `unpriced` calls are not in the cost."""

    calls: int
    succeeded: int
    failed: int
    cancelled: int
    blocked: int = Field(description="Refused by a budget.")
    denied: int
    unconfirmed: int
    unpriced: int
    cached: int = Field(description="Answered from what was kept of a call just before, free.")
    requests: int = Field(description="Calls that budgets count as requests.")
    input_tokens: int = Field(description="Input of every kind.")
    uncached_input_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    cost: str
    overrun: str = Field(description="What calls cost beyond what was held for them.")
    savings: str = Field(
        description="What the models recommended would have saved, where that is only rehearsed "
        "(mode dry_run); negative if they are dearer."
    )
    saved: str = Field(
        description="What the models chosen saved against the default, where routing is enforced."
    )

    @classmethod
    def values(cls, totals: Totals) -> dict[str, Any]:
        """The fields of any account of `totals`."""
        plain = {one.name: getattr(totals, one.name) for one in fields(Totals)}
        money = {name: decimal_text(plain[name]) for name in MONEY}
        return {**plain, **money, "input_tokens": totals.input_tokens}

    @classmethod
    def of(cls, totals: Totals) -> TotalsOut:
        """As JSON."""
        return cls(**cls.values(totals))


MONEY = ("cost", "overrun", "savings", "saved")


class UsageSummaryOut(TotalsOut):
    """What calls begun in a period used; `calls` has those under way in it."""

    since: Moment
    until: Moment
    in_flight: int


class DayOut(Schema):
    """One team's calls of one day."""

    day: date
    team: str = Field(description="The team's name.")
    calls: int
    cost: str


class DayList(Schema):
    """The days with calls, in order."""

    since: Moment
    until: Moment
    zone: str
    items: list[DayOut]


class PartOut(TotalsOut):
    """One value's part of the whole."""

    value: str = Field(description="What a filter takes: a slug, an identifier or a name.")
    label: str
    share_of_calls: float = Field(description="In per cent.")
    share_of_cost: float = Field(description="In per cent.")

    @classmethod
    def part(cls, named: Named, totals: Totals, whole: Totals) -> PartOut:
        """As JSON; `whole` is what the shares are of."""
        return cls(**cls.values(totals), **_shares(named, totals, whole))


def _shares(named: Named, totals: Totals, whole: Totals) -> dict[str, Any]:
    return {
        "value": named.value,
        "label": named.label,
        "share_of_calls": _percent(totals.calls, whole.calls),
        "share_of_cost": _percent(totals.cost, whole.cost),
    }


def _percent(part: int, whole: int) -> float:
    return part * WHOLE // whole / 100 if whole else 0.0


class BreakdownOut(Schema):
    """The dearest parts, the rest of them together, and the whole."""

    since: Moment
    until: Moment
    by: str
    items: list[PartOut]
    rest: TotalsOut
    total: TotalsOut


def parts_out(parts: Iterable[Part], whole: Totals) -> list[PartOut]:
    """Parts as JSON."""
    return [PartOut.part(part.named, part.totals, whole) for part in parts]


class StepOut(PartOut):
    """What was used in one step, by one value if it is broken down; shares are of the step."""

    since: Moment
    until: Moment

    @classmethod
    def step(cls, step: Step, whole: Totals) -> StepOut:
        """As JSON."""
        named = step.named or Named("", "")
        return cls(
            since=step.since,
            until=step.until,
            **cls.values(step.totals),
            **_shares(named, step.totals, whole),
        )


class SeriesOut(Schema):
    """The steps with calls, in order."""

    step: str
    zone: str
    by: str | None
    items: list[StepOut]


class MixOut(Schema):
    """How a period's calls and cost are shared out."""

    since: Moment
    until: Moment
    models: list[PartOut]
    scopes: dict[str, list[PartOut]] = Field(
        description="By what a budget's scope can be: team, person, key, job and provider."
    )


class SessionOut(TotalsOut):
    """All calls of one session of one team."""

    team: str
    session: str
    first_at: Moment
    last_at: Moment

    @classmethod
    def session_of(cls, row: UsageSession, team: str) -> SessionOut:
        """From its row."""
        sums = {one.name: getattr(row, one.name) for one in fields(Totals)}
        return cls(
            **cls.values(Totals(**sums)),
            team=team,
            session=row.session,
            first_at=row.first_at,
            last_at=row.last_at,
        )


class LatencyOut(Schema):
    """How long calls took and how they failed."""

    value: str
    label: str
    answered: int
    failed: int
    error_rate: float = Field(description="From 0 to 1.")
    p50: float | None = Field(description="Milliseconds, within a twentieth; of answers only.")
    p90: float | None
    p95: float | None
    p99: float | None
    errors: dict[str, int] = Field(
        description="Failures by class; `not_tried` are those of which nothing was sent."
    )

    @classmethod
    def of(cls, one: Latency) -> LatencyOut:
        """As JSON."""
        return cls(
            value=one.named.value,
            label=one.named.label,
            answered=one.answered,
            failed=one.failed,
            error_rate=round(one.error_rate, 6),
            errors=dict(one.errors),
            **{name: value and round(value, 1) for name, value in one.quantiles.items()},
        )


class LatencyList(Schema):
    """By what was asked for, the most calls first; for whole hours of UTC."""

    since: Moment
    until: Moment
    by: str
    items: list[LatencyOut]


class WindowForecastOut(Schema):
    """A budget's window that runs, and what it comes to at its pace."""

    policy: str
    policy_id: str
    team: str | None
    whose: str = Field(description="In words, whose calls it counts.")
    metric: str
    since: Moment
    until: Moment
    used: str = Field(description="Consumed and held.")
    limit: str
    expected: str | None = Field(description="At the end; null while it is too early to tell.")
    reaches_limit_at: Moment | None = Field(description="null if not within the window.")

    @classmethod
    def of(cls, one: WindowForecast) -> WindowForecastOut:
        """As JSON."""
        metric = one.policy.metric
        return cls(
            policy=one.policy.name,
            policy_id=str(one.policy.pk),
            team=one.team.slug if one.team else None,
            whose=one.whose,
            metric=metric,
            since=one.since,
            until=one.until,
            used=str(amount_json(metric, one.used)),
            limit=str(amount_json(metric, one.limit)),
            expected=amount_json(metric, one.expected),
            reaches_limit_at=one.reaches_limit_at,
        )


class ForecastOut(Schema):
    """The spend of the calendar month that runs, and the windows of budgets."""

    since: Moment
    until: Moment
    zone: str
    spent: str
    expected: str | None = Field(
        description="At the month's end at this pace; null while it is too early to tell."
    )
    last_month: str
    windows: list[WindowForecastOut]

    @classmethod
    def of(cls, spend: SpendForecast, windows: list[WindowForecast], zone: str) -> ForecastOut:
        """As JSON."""
        return cls(
            since=spend.since,
            until=spend.until,
            zone=zone,
            spent=decimal_text(spend.spent),
            expected=dollars_json(spend.expected),
            last_month=decimal_text(spend.last_month),
            windows=[WindowForecastOut.of(one) for one in windows],
        )


class TeamSavingsOut(Schema):
    """What enforcing would have saved a team, and what it saved. Amounts are US dollars."""

    team: str
    name: str
    rehearsed_calls: int = Field(description="Calls in mode dry_run.")
    rehearsed_cost: str
    would_have_saved: str = Field(
        description="What these would have cost less with the models recommended."
    )
    enforced_calls: int
    enforced_cost: str
    saved: str = Field(description="What these cost less than with the default.")

    @classmethod
    def of(cls, one: Savings) -> TeamSavingsOut:
        """As JSON."""
        return cls(
            team=one.team.value,
            name=one.team.label,
            rehearsed_calls=one.rehearsed_calls,
            rehearsed_cost=decimal_text(one.rehearsed_cost),
            would_have_saved=decimal_text(one.would_have_saved),
            enforced_calls=one.enforced_calls,
            enforced_cost=decimal_text(one.enforced_cost),
            saved=decimal_text(one.saved),
        )


class SavingsList(Schema):
    """By team, the largest savings first."""

    since: Moment
    until: Moment
    items: list[TeamSavingsOut]
