"""Calls to decide again in another mode: all of a time, or some from each half day of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db.models import F
from django.db.models.fields.json import KT

from governance.mode_changes import ModeChange, ModeForecast, StoredCall, forecast
from governance.models import CallStatus, ModelCall, Price
from governance.pricing import PriceEntry, cost, effective
from governance.routing.words import DEGRADED
from governance.snapshot import price_entry
from governance.usage.adding import STEP, add_up
from governance.usage.frames import frame
from providers.usage import Usage

LOOKED_BACK = timedelta(days=30)
# So many calls are all read; of more, so many from each slice.
MOST_WHOLE = 2000
OF_EACH_SLICE = 40
# Not a divisor of the day, so that slices begin at every hour of it in turn.
SLICE = timedelta(hours=13)
# Calls that were sent somewhere, and whose cost is known.
MADE = (CallStatus.SUCCEEDED, CallStatus.FAILED, CallStatus.CANCELLED, CallStatus.UNCONFIRMED)
BUCKETS = {
    "uncached_input_tokens": "uncached_input",
    "cache_read_tokens": "cache_read",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_tokens": "output",
}
_COLUMNS = (
    "team_id",
    "requested_model",
    "routing_mode",
    "cost",
    "compared_cost",
    "admitted_at",
    *BUCKETS,
)
_FACTS = {
    "source": KT("decision__mode_source"),
    "recommended": KT("decision__recommended"),
    "actual": KT("decision__actual"),
    "other": KT("decision__compared__model"),
    "codes": F("decision__reason_codes"),
}


# Of the calls, those that are not looked at: nothing was sent, or nobody knows what it cost.
_COUNTED = ("calls", "blocked", "denied", "cached", "unpriced")


def foresee_mode(change: ModeChange, now: datetime) -> ModeForecast:
    """What the change would have come to in the last thirty days.

    Reads at most some 2,300 calls, in a number of queries that does not grow with the ledger.
    """
    slices = _slices(now)
    counts = _counts(slices, change.team_id, now)
    population = sum(counts)
    rows = (
        _whole(slices, change.team_id)
        if population <= MOST_WHOLE
        else _sampled(slices, counts, change.team_id)
    )
    prices = _prices()

    def price_of(model: str, at: datetime, usage: Usage) -> int | None:
        price = effective(prices.get(model, ()), at)
        return None if price is None else cost(price, usage)

    return forecast(rows, change, price_of=price_of, population=population)


@dataclass(frozen=True, slots=True)
class _Slice:
    since: datetime
    until: datetime


def _slices(now: datetime) -> list[_Slice]:
    # At whole hours, which the sums are kept by.
    since = (now - LOOKED_BACK).replace(minute=0, second=0, microsecond=0)
    found = []
    while since < now:
        until = min(since + SLICE, now)
        found.append(_Slice(since, until))
        since = until
    return found


def _counts(slices: list[_Slice], team_id: int | None, now: datetime) -> list[int]:
    """How many calls that cost something were sent in each slice, from the sums: three queries at
    most."""
    bounds = [slices[0].since, *(one.until for one in slices)]
    where = {} if team_id is None else {"team_id": team_id}
    found = add_up(frame(bounds, now), keys=(STEP,), sums=_COUNTED, where=where)
    counts = []
    for number in range(len(slices)):
        calls, *others = found.get((number,), (0,) * len(_COUNTED))
        counts.append(max(0, calls - sum(others)))
    return counts


def _calls(since: datetime, until: datetime, team_id: int | None) -> Any:
    rows = ModelCall.objects.filter(
        admitted_at__gte=since,
        admitted_at__lt=until,
        status__in=MADE,
        cached=False,
        cost__isnull=False,
    )
    if team_id is not None:
        rows = rows.filter(team_id=team_id)
    return rows.order_by("admitted_at").annotate(**_FACTS).values(*_COLUMNS, *_FACTS)


def _whole(slices: list[_Slice], team_id: int | None) -> Iterator[StoredCall]:
    rows = _calls(slices[0].since, slices[-1].until, team_id)[: MOST_WHOLE + OF_EACH_SLICE]
    return (_stored(row, Fraction(1)) for row in rows)


def _sampled(slices: list[_Slice], counts: list[int], team_id: int | None) -> Iterator[StoredCall]:
    for one, count in zip(slices, counts, strict=True):
        if not count:
            continue
        rows = list(_calls(one.since, one.until, team_id)[:OF_EACH_SLICE])
        for row in rows:
            yield _stored(row, Fraction(max(count, len(rows)), len(rows)))


def _stored(row: Mapping[str, Any], stands_for: Fraction) -> StoredCall:
    used: dict[str, Any] = {bucket: row[column] or 0 for column, bucket in BUCKETS.items()}
    return StoredCall(
        team_id=row["team_id"],
        requested=row["requested_model"],
        mode=row["routing_mode"],
        mode_source=row["source"] or "",
        recommended=row["recommended"] or "",
        actual=row["actual"] or "",
        other=row["other"] or "",
        is_degraded=DEGRADED in (row["codes"] or ()),
        cost=row["cost"],
        other_cost=row["compared_cost"],
        usage=Usage(**used),
        at=row["admitted_at"],
        stands_for=stands_for,
    )


def _prices() -> dict[str, list[PriceEntry]]:
    """Every price by `provider/model`, also of models that are switched off now."""
    found: dict[str, list[PriceEntry]] = {}
    for row in Price.objects.select_related("model__provider").prefetch_related("tiers"):
        found.setdefault(f"{row.model.provider.name}/{row.model.name}", []).append(price_entry(row))
    return found
