"""The same sums as `rollups`, from the whole ledger at once, in SQL that both databases understand.

A migration of the version that brought the sums fills them with this; whoever adds a column to them
leaves that migration a copy of what this was.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from governance.ledger.rollups import ENDED, REFUSED, SUMS, TIMED, TOKENS
from governance.models.usage import DIMENSIONS
from providers.histogram import STEP

CALLS = "governance_modelcall"
# SQLite keeps times as text in UTC, and identifiers as 32 hexadecimal digits.
HOUR = {
    "sqlite": "substr(admitted_at, 1, 13) || ':00:00'",
    "postgresql": "date_trunc('hour', admitted_at, 'UTC')",
}
DAY = {
    "sqlite": "substr(admitted_at, 1, 10) || ' 00:00:00'",
    "postgresql": "date_trunc('day', admitted_at, 'UTC')",
}
_JOB = {
    "sqlite": "||'-'||".join(
        f"substr(job_id, {start}, {length})"
        for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    ),
    "postgresql": "CAST(job_id AS text)",
}
_GONE = {
    "api_key_id": "CASE WHEN api_key_id IN (SELECT id FROM governance_apikey) "
    "THEN api_key_id ELSE 0 END",
    "user_id": "CASE WHEN user_id IN (SELECT id FROM auth_user) THEN user_id ELSE 0 END",
}
_STORED = {"first_at": "MIN(first_at)", "last_at": "MAX(last_at)"}


@dataclass(frozen=True, slots=True)
class Recount:
    """A table of sums: its key, its other columns, and the query that gives all of them."""

    table: str
    key: tuple[str, ...]
    sums: tuple[str, ...]
    query: str
    # What of the stored rows is compared, if not all.
    among: str = ""

    @property
    def columns(self) -> str:
        """Every column but the primary key, in the order of the query."""
        return ", ".join((*self.key, *self.sums))

    @property
    def stored(self) -> str:
        """The query that gives what is stored, as far as the ledger can know it: it forgets which
        person or key a call was made by once that is deleted, and a correction may leave a row of
        which nothing is left."""
        shown = [f"{_GONE.get(name, name)} AS {name}" for name in self.key]
        shown += [f"{_STORED.get(name, _sum(name))} AS {name}" for name in self.sums]
        places = _places(self.key)
        return (
            f"SELECT {', '.join(shown)} FROM {self.table} {self.among} "  # noqa: S608
            f"GROUP BY {places} HAVING SUM(calls) <> 0"
        )

    @property
    def fill(self) -> str:
        """The statement that fills the empty table."""
        return f"INSERT INTO {self.table} ({self.columns}) {self.query}"


def recounts(vendor: str) -> tuple[Recount, ...]:
    """Every table of sums."""
    return hours(vendor), days(vendor), sessions(vendor), latencies(vendor)


def recounts_since(vendor: str) -> tuple[Recount, ...]:
    """The sums by hour and day from a midnight of UTC on: query and `stored` each have one place
    for that moment."""
    return tuple(_since(one) for one in (hours(vendor), days(vendor), latencies(vendor)))


def _since(one: Recount) -> Recount:
    # Each query has one WHERE of its own, at its end but for the grouping.
    begin, group, places = one.query.rpartition(" GROUP BY ")
    among = f"WHERE {one.key[0]} >= %s"
    return replace(one, query=f"{begin} AND admitted_at >= %s{group}{places}", among=among)


def hours(vendor: str) -> Recount:
    """`UsageHour`."""
    key = {"hour": HOUR[vendor], **_dimensions(vendor)}
    return _recount("governance_usagehour", key, _sums(), _among(ENDED))


def days(vendor: str) -> Recount:
    """`UsageDay`."""
    key = {"day": DAY[vendor], **_dimensions(vendor)}
    return _recount("governance_usageday", key, _sums(), _among(ENDED))


@dataclass(frozen=True, slots=True)
class OfCalls:
    """What of calls the columns of the sums are: dimensions, aggregates, and which calls count."""

    dimensions: Mapping[str, str]
    sums: Mapping[str, str]
    condition: str


def of_calls(vendor: str) -> OfCalls:
    """For reports that have a part of an hour: the same sums from its calls."""
    return OfCalls(_dimensions(vendor), _sums(), _among(ENDED))


def _dimensions(vendor: str) -> dict[str, str]:
    plain = {name: name for name in DIMENSIONS}
    return plain | {
        "api_key_id": "COALESCE(api_key_id, 0)",
        "user_id": "COALESCE(user_id, 0)",
        "job": f"COALESCE({_JOB[vendor]}, '')",
    }


def sessions(vendor: str) -> Recount:
    """`UsageSession`."""
    key = {"team_id": "team_id", "session": "session"}
    sums = {"first_at": "MIN(admitted_at)", "last_at": "MAX(admitted_at)", **_sums()}
    return _recount("governance_usagesession", key, sums, f"{_among(ENDED)} AND session <> ''")


def latencies(vendor: str) -> Recount:
    """`LatencyHour`."""
    # What `histogram.bucket` does.
    bucket = f"CEILING(LN(CAST(latency_ms AS double precision)) / {math.log(STEP)!r} - 1e-9)"
    key = {
        "hour": HOUR[vendor],
        "team_id": "team_id",
        "provider": "provider",
        "model": "model",
        "failure_class": "failure_class",
        "bucket": f"CASE WHEN latency_ms <= 1 THEN 0 ELSE CAST({bucket} AS integer) END",
    }
    timed = f"{_among(TIMED)} AND latency_ms IS NOT NULL AND NOT cached"
    return _recount("governance_latencyhour", key, {"calls": "COUNT(*)"}, timed)


def _recount(
    table: str, key: Mapping[str, str], sums: Mapping[str, str], condition: str
) -> Recount:
    shown = ", ".join(f"{value} AS {name}" for name, value in {**key, **sums}.items())
    query = f"SELECT {shown} FROM {CALLS} WHERE {condition} GROUP BY {_places(key)}"  # noqa: S608
    return Recount(table, tuple(key), tuple(sums), query)


def _places(key: Collection[str]) -> str:
    return ", ".join(str(number) for number in range(1, len(key) + 1))


def _sums() -> dict[str, str]:
    """What `rollups.counted` counts, by column."""
    known = "cost IS NOT NULL AND compared_cost IS NOT NULL"
    sums = {
        "calls": "COUNT(*)",
        **{status.value: _count(f"status = '{status.value}'") for status in ENDED},
        "unpriced": _count(f"cost IS NULL AND NOT {_among(REFUSED)}"),
        "cached": _count("cached"),
        "requests": _count(_made()),
        **{name: _sum(name) for name in TOKENS},
        "cost": _sum("cost"),
        "overrun": _sum("overrun"),
        "savings": _sum("cost - compared_cost", f"routing_mode = 'dry_run' AND {known}"),
        "saved": _sum("compared_cost - cost", f"routing_mode = 'enforced' AND {known}"),
    }
    return {name: sums[name] for name in SUMS}


def _made() -> str:
    """What `rollups.was_made` says: unknown is not none at all."""
    used = " OR ".join(f"COALESCE({name}, 1) <> 0" for name in TOKENS)
    return (
        "status IN ('succeeded', 'unconfirmed') "
        "OR (status = 'failed' AND output_tokens IS NOT NULL) "
        f"OR (status = 'cancelled' AND ({used}))"
    )


def _among(statuses: Sequence[str]) -> str:
    return f"status IN ({', '.join(repr(str(one)) for one in statuses)})"


def _count(condition: str) -> str:
    return f"COUNT(*) FILTER (WHERE {condition})"


def _sum(value: str, condition: str = "") -> str:
    which = f" FILTER (WHERE {condition})" if condition else ""
    return f"CAST(COALESCE(SUM({value}){which}, 0) AS bigint)"
