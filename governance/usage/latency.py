"""How long calls took and how they failed: read from histograms, whole hours at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from governance.models import LatencyHour, Team
from governance.usage.adding import Key, add_up
from governance.usage.frames import frame, outwards
from governance.usage.names import COLUMNS, Named, named
from providers import histogram

# What times are kept by.
BY = ("team", "provider", "model")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
MOST_PARTS = 50
# Failures that took no time, because nothing was tried.
NOT_TRIED = "not_tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Calls that were answered or failed, of one value of what was asked for.

    Quantiles are milliseconds of answers, within a twentieth; None without any. `errors` counts
    failures by class.
    """

    named: Named
    answered: int
    failed: int
    quantiles: Mapping[str, float | None]
    errors: Mapping[str, int]

    @property
    def error_rate(self) -> float:
        """The share of failures, from 0 to 1."""
        return self.failed / (self.answered + self.failed)


@dataclass(slots=True)
class _Times:
    """Times of answers by bucket, and failures by class."""

    answers: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


def latencies(
    *,
    by: str,
    since: datetime,
    until: datetime,
    team: Team | None = None,
    where: Mapping[str, Any] | None = None,
    most: int = MOST_PARTS,
) -> list[Latency]:
    """By one of `BY`, those with the most calls first, for the whole hours that have the period in
    them. `where` names columns of `LatencyHour`. Four queries at most."""
    since, until = outwards(since, until)
    filters = {**(where or {}), **({"team_id": team.pk} if team else {})}
    ended = add_up(
        frame((since, until), timezone.now()),
        keys=COLUMNS[by],
        sums=("succeeded", "cached", "failed"),
        where=filters,
    )
    counted = {
        key: (succeeded - cached, failed)
        for key, (succeeded, cached, failed) in ended.items()
        if succeeded - cached or failed
    }
    order = sorted(counted, key=lambda key: (-sum(counted[key]), key))[:most]
    times, names = _times(by, since, until, filters), named(by, order)
    return [_latency(names[key], *counted[key], times.get(key) or _Times()) for key in order]


def quantile(
    share: float,
    *,
    since: datetime,
    until: datetime,
    team: Team | None = None,
) -> float | None:
    """The milliseconds that `share` of the answers of a period did not exceed, of the whole hours
    that have it in them; None without any. One query."""
    since, until = outwards(since, until)
    rows = LatencyHour.objects.filter(hour__gte=since, hour__lt=until, failure_class="")
    if team is not None:
        rows = rows.filter(team_id=team.pk)
    counted = rows.order_by().values_list("bucket").annotate(total=Sum("calls"))
    return histogram.percentile(dict(counted), share)


def _times(
    by: str, since: datetime, until: datetime, where: Mapping[str, Any]
) -> dict[Key, _Times]:
    rows = LatencyHour.objects.filter(hour__gte=since, hour__lt=until, **where).order_by()
    keys = COLUMNS[by]
    found: dict[Key, _Times] = defaultdict(_Times)
    for *key, failure_class, bucket, calls in rows.values_list(
        *keys, "failure_class", "bucket"
    ).annotate(total=Sum("calls")):
        times = found[tuple(key)]
        if failure_class:
            times.errors[failure_class] += calls
        else:
            times.answers[bucket] += calls
    return found


def _latency(name: Named, answered: int, failed: int, times: _Times) -> Latency:
    errors = Counter(times.errors)
    errors[NOT_TRIED] = max(0, failed - errors.total())
    return Latency(
        named=name,
        answered=answered,
        failed=failed,
        quantiles={
            name: histogram.percentile(times.answers, share) for name, share in QUANTILES.items()
        },
        errors={name: calls for name, calls in errors.most_common() if calls},
    )
