"""What a budget policy would have counted by now, whether or not it was there: read from the sums
beside the ledger, by the same rule that its windows open with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Sum, Value
from django.db.models.functions import Coalesce

from governance.ledger.opening import COLUMNS, COUNTED, TOKEN_COLUMNS
from governance.models import BudgetPolicy, BudgetScope, CallStatus, ModelCall, UsageSession
from governance.scope_names import is_number
from governance.usage.adding import STEP, add_up
from governance.usage.frames import frame
from governance.usage.reports import in_flight
from governance.windows import Period, period, rolling_periods

# Sessions are named by their callers, so there may be any number: so many are looked at.
MOST_SESSIONS = 50
# The columns that say whose a call is, in the sums and in the ledger.
_KEYS: Mapping[str, tuple[str, ...]] = {
    BudgetScope.GLOBAL: (),
    BudgetScope.TEAM: ("team_id",),
    BudgetScope.USER: ("user_id",),
    BudgetScope.API_KEY: ("api_key_id",),
    BudgetScope.JOB: ("job",),
    BudgetScope.PROVIDER: ("provider",),
    BudgetScope.MODEL: ("provider", "model"),
}
HELD_COLUMNS = ("team_id", "admitted_at", "estimate_upper", "token_bound", "output_bound")


@dataclass(frozen=True, slots=True)
class Used:
    """What is consumed and held for one scope value, in the metric's units."""

    consumed: int = 0
    held: int = 0


def span_of(policy: BudgetPolicy, now: datetime) -> Period:
    """What the policy counts at `now`: its window, or all buckets of a rolling one together."""
    if not policy.rolling:
        return period(policy.interval, policy.zone, now)
    counted = rolling_periods(policy.interval, now)
    return Period(counted[0].starts_at, counted[-1].ends_at)


def used_by_value(policy: BudgetPolicy, now: datetime) -> dict[str, Used]:
    """By scope value, what the policy would count now; those that used nothing are left out.

    Exact, in five queries at most; of sessions the `MOST_SESSIONS` that used most in all. A policy
    by the run has as many windows as there are runs, and nothing is told of it.
    """
    if policy.interval == "run":
        return {}
    span = span_of(policy, now)
    if policy.scope == BudgetScope.SESSION:
        consumed = _of_sessions(policy, span)
    else:
        consumed = _of_sums(policy, span, now)
    held = _held(policy, span)
    return {
        value: Used(consumed.get(value, 0), held.get(value, 0))
        for value in sorted({*consumed, *held})
        if policy.value in ("", value)
    }


def used_by_step(
    policy: BudgetPolicy, scope_value: str, bounds: Sequence[datetime], now: datetime
) -> list[int]:
    """What was consumed between each two of `bounds` of what the policy counts for that scope
    value, whether or not it was there: three queries at most. Of a session nothing is known."""
    if policy.scope == BudgetScope.SESSION:
        return [0] * (len(bounds) - 1)
    sums = COLUMNS.get(policy.metric, ("requests",))
    found = add_up(frame(bounds, now), keys=(STEP,), sums=sums, where=_where(policy, scope_value))
    return [sum(found.get((number,), ())) for number in range(len(bounds) - 1)]


def _where(policy: BudgetPolicy, scope_value: str) -> dict[str, Any]:
    """The values of the sums' columns that a window of that scope value counts."""
    where: dict[str, Any] = {"team_id": policy.team_id} if policy.team_id is not None else {}
    keys = _KEYS[policy.scope]
    for key, part in zip(keys, scope_value.split("/", len(keys) - 1) if keys else (), strict=True):
        if not key.endswith("_id"):
            where[key] = part
        else:
            # What is no number is nobody's: no row has the id 0.
            where[key] = int(part) if is_number(part) else 0
    return where


def _of_sums(policy: BudgetPolicy, span: Period, now: datetime) -> dict[str, int]:
    keys = _KEYS[policy.scope]
    sums = COLUMNS.get(policy.metric, ("requests",))
    where: dict[str, Any] = {"team_id": policy.team_id} if policy.team_id is not None else {}
    until = span.ends_at or now + timedelta(hours=1)
    found = add_up(frame((span.starts_at, until), now), keys=keys, sums=sums, where=where)
    return {_value(key): sum(amounts) for key, amounts in found.items() if all(key) or not keys}


def _value(key: Sequence[Any]) -> str:
    return "/".join(str(part) for part in key)


def _held(policy: BudgetPolicy, span: Period) -> dict[str, int]:
    """What calls under way hold. There are few of them at any moment, and they are added up here:
    grouped by the database, SQLite would read the whole ledger in the order of the groups."""
    is_session = policy.scope == BudgetScope.SESSION
    keys = ("team_id", "session") if is_session else _KEYS[policy.scope]
    columns = ["job_id" if one == "job" else one for one in keys]
    found: dict[str, int] = {}
    rows = in_flight().values_list(*HELD_COLUMNS, *columns)
    for team_id, admitted_at, cost, tokens, output, *key in rows:
        is_counted = admitted_at >= span.starts_at and policy.team_id in (None, team_id)
        if not is_counted or not all(key):
            continue
        held = {
            "cost": cost or 0,
            "requests": 1,
            "tokens": tokens,
            "input_tokens": tokens - output,
            "output_tokens": output,
        }
        value = ":".join(map(str, key)) if is_session else _value(key)
        found[value] = found.get(value, 0) + held[policy.metric]
    return found


def _of_sessions(policy: BudgetPolicy, span: Period) -> dict[str, int]:
    """Of the sessions that were used since, exactly what each used: two queries. What of one was
    used before is only looked up of those that began before."""
    rows = UsageSession.objects.filter(last_at__gte=span.starts_at)
    if policy.team_id is not None:
        rows = rows.filter(team_id=policy.team_id)
    if policy.value:
        rows = rows.filter(session=policy.value.partition(":")[2])
    columns = COLUMNS.get(policy.metric, ("requests",))
    rows = rows.annotate(amount=sum((F(one) for one in columns), start=Value(0)))
    found: dict[str, int] = {}
    older: list[str] = []
    names = ("team_id", "session", "first_at", "amount")
    for team_id, session, first_at, amount in rows.order_by("-amount").values_list(*names)[
        :MOST_SESSIONS
    ]:
        if first_at >= span.starts_at:
            found[f"{team_id}:{session}"] = int(amount)
        else:
            older.append(session)
    return found | _of_older_sessions(policy, span, older) if older else found


def _of_older_sessions(policy: BudgetPolicy, span: Period, names: list[str]) -> dict[str, int]:
    # The index by session has no calls without one, which SQLite must be told.
    calls = ModelCall.objects.exclude(session="").filter(session__in=names)
    calls = calls.filter(admitted_at__gte=span.starts_at)
    if policy.team_id is not None:
        calls = calls.filter(team_id=policy.team_id)
    rows = (
        _counted(calls, policy.metric)
        .order_by()
        .values_list("session", "team_id")
        .annotate(amount=_amount(policy.metric))
    )
    return {f"{team_id}:{session}": int(amount or 0) for session, team_id, amount in rows}


def _counted(calls: Any, metric: str) -> Any:
    """The calls that count, as a window's opening has it."""
    ended = calls.filter(status__in=COUNTED)
    if metric != "requests":
        return ended
    made = ended.exclude(status=CallStatus.CANCELLED, **dict.fromkeys(TOKEN_COLUMNS, 0))
    return made.exclude(status=CallStatus.FAILED, output_tokens=None)


def _amount(metric: str) -> Any:
    if metric == "requests":
        return Count("pk")
    return Sum(sum((Coalesce(F(one), Value(0)) for one in COLUMNS[metric]), start=Value(0)))
