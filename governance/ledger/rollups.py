"""What calls add to the hourly sums, and the statements that add it in the ledger's own commit.

`counted` says what one row of the ledger counts for as it stands; it is pure, and the only place
besides `recounting`, which says the same in SQL, that knows. A batch takes back what its calls had
counted for before it and adds what they count for after it, so a settlement that comes late
corrects what was assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connection, models

from governance.models import (
    CallStatus,
    LatencyHour,
    ModelCall,
    RoutingMode,
    UsageDay,
    UsageHour,
    UsageSession,
)
from governance.models.usage import DIMENSIONS
from providers import histogram

TOKENS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
# Each is counted in the column of its name.
ENDED = (
    CallStatus.SUCCEEDED,
    CallStatus.FAILED,
    CallStatus.CANCELLED,
    CallStatus.BLOCKED,
    CallStatus.DENIED,
    CallStatus.UNCONFIRMED,
)
REFUSED = (CallStatus.BLOCKED, CallStatus.DENIED)
TIMED = (CallStatus.SUCCEEDED, CallStatus.FAILED)
SUMS = (
    "calls",
    *(status.value for status in ENDED),
    "unpriced",
    "cached",
    "requests",
    *TOKENS,
    "cost",
    "overrun",
    "savings",
    "saved",
)


class HourKey(NamedTuple):
    """Names a row of `UsageHour`."""

    hour: datetime
    team_id: int
    api_key_id: int
    user_id: int
    job: str
    provider: str
    model: str
    task_class: str
    routing_mode: str


class SessionKey(NamedTuple):
    """Names a row of `UsageSession`."""

    team_id: int
    session: str


class LatencyKey(NamedTuple):
    """Names a row of `LatencyHour`."""

    hour: datetime
    team_id: int
    provider: str
    model: str
    failure_class: str
    bucket: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What one call counts for, and where."""

    hour: HourKey
    session: SessionKey | None
    latency: LatencyKey | None
    sums: dict[str, int]


def counted(call: ModelCall) -> Counted | None:
    """What a call counts for as its row stands; None for one that has not ended."""
    if call.status not in ENDED:
        return None
    hour = call.admitted_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    timed = call.status in TIMED and call.latency_ms is not None and not call.cached
    return Counted(
        hour=HourKey(
            hour,
            call.team_id,
            call.api_key_id or 0,
            call.user_id or 0,
            str(call.job_id or ""),
            call.provider,
            call.model,
            call.task_class,
            call.routing_mode,
        ),
        session=SessionKey(call.team_id, call.session) if call.session else None,
        latency=LatencyKey(
            hour,
            call.team_id,
            call.provider,
            call.model,
            call.failure_class,
            histogram.bucket(call.latency_ms or 0),
        )
        if timed
        else None,
        sums=_sums(call),
    )


def _sums(call: ModelCall) -> dict[str, int]:
    refused = call.status in REFUSED
    cost, compared = call.cost, call.compared_cost
    cheaper = 0 if cost is None or compared is None else cost - compared
    return {
        "calls": 1,
        call.status: 1,
        "unpriced": int(cost is None and not refused),
        "cached": int(call.cached),
        "requests": int(was_made(call)),
        **{name: getattr(call, name) or 0 for name in TOKENS},
        "cost": cost or 0,
        "overrun": call.overrun,
        "savings": cheaper if call.routing_mode == RoutingMode.DRY_RUN else 0,
        "saved": -cheaper if call.routing_mode == RoutingMode.ENFORCED else 0,
    }


def was_made(call: ModelCall) -> bool:
    """Whether it is a request to a budget: neither given up before anything was sent, nor never
    begun. A budget's window opens by the same rule."""
    if call.status == CallStatus.CANCELLED:
        return any(getattr(call, name) != 0 for name in TOKENS)
    if call.status == CallStatus.FAILED:
        return call.output_tokens is not None
    return call.status not in REFUSED


@dataclass(slots=True)
class _Session:
    """What is added to one session's row."""

    first_at: datetime
    last_at: datetime
    sums: Counter[str] = field(default_factory=Counter)


class Rollups:
    """The differences that one batch makes to the sums."""

    def __init__(self) -> None:
        self._hours: dict[HourKey, Counter[str]] = {}
        self._sessions: dict[SessionKey, _Session] = {}
        self._latencies: Counter[LatencyKey] = Counter()

    def take_back(self, calls: Iterable[ModelCall]) -> None:
        """Take back what `calls` count for now, before they change."""
        self._count(calls, -1)

    def add(self, calls: Iterable[ModelCall]) -> None:
        """Add what `calls` count for now."""
        self._count(calls, 1)

    def _count(self, calls: Iterable[ModelCall], times: int) -> None:
        for call in calls:
            one = counted(call)
            if one is None:
                continue
            amounts = {name: times * amount for name, amount in one.sums.items()}
            self._hours.setdefault(one.hour, Counter()).update(amounts)
            if one.latency is not None:
                self._latencies[one.latency] += times
            if one.session is not None:
                at = call.admitted_at
                session = self._sessions.setdefault(one.session, _Session(at, at))
                session.first_at = min(session.first_at, at)
                session.last_at = max(session.last_at, at)
                session.sums.update(amounts)

    def write(self) -> None:
        """Add the differences to what is stored, in the transaction that is open.

        Sorted, so that two processes lock the rows of their batches in the same order.
        """
        hours = [UsageHour(**key._asdict(), **sums) for key, sums in _left(self._hours)]
        days = [
            UsageDay(day=key.hour, **dict(zip(DIMENSIONS, key[1:], strict=True)), **sums)
            for key, sums in _left(_by_day(self._hours))
        ]
        sessions = [
            UsageSession(**key._asdict(), first_at=one.first_at, last_at=one.last_at, **one.sums)
            for key, one in sorted(self._sessions.items())
            if any(one.sums.values())
        ]
        latencies = [
            LatencyHour(**key._asdict(), calls=calls)
            for key, calls in sorted(self._latencies.items())
            if calls
        ]
        _upsert(hours, HourKey._fields, SUMS)
        _upsert(days, ("day", *DIMENSIONS), SUMS)
        _upsert(sessions, SessionKey._fields, SUMS)
        _upsert(latencies, LatencyKey._fields, ("calls",))


def _left(sums: Mapping[HourKey, Counter[str]]) -> list[tuple[HourKey, Counter[str]]]:
    return [(key, amounts) for key, amounts in sorted(sums.items()) if any(amounts.values())]


def _by_day(hours: Mapping[HourKey, Counter[str]]) -> dict[HourKey, Counter[str]]:
    days: dict[HourKey, Counter[str]] = {}
    for key, amounts in hours.items():
        days.setdefault(key._replace(hour=key.hour.replace(hour=0)), Counter()).update(amounts)
    return days


def _upsert(rows: Sequence[models.Model], key: Sequence[str], sums: Sequence[str]) -> None:
    """Insert rows of one model, or add their sums to those that have their key."""
    if not rows:
        return
    fields = [one for one in rows[0]._meta.concrete_fields if not one.primary_key]
    values = [
        [one.get_db_prep_save(getattr(row, one.attname), connection) for one in fields]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_statement(rows[0], [one.attname for one in fields], key, sums), values)


def _statement(
    row: models.Model, columns: Sequence[str], key: Sequence[str], sums: Sequence[str]
) -> str:
    table = row._meta.db_table
    changes = [f"{name} = {table}.{name} + excluded.{name}" for name in sums]
    for name, wins in (("first_at", "<"), ("last_at", ">")):
        if name in columns:
            changes.append(
                f"{name} = CASE WHEN excluded.{name} {wins} {table}.{name} "
                f"THEN excluded.{name} ELSE {table}.{name} END"
            )
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608
        f"VALUES ({', '.join(['%s'] * len(columns))}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(changes)}"
    )
