"""Computing sums and budget windows anew from the ledger: they must be what is stored.

Everything is done under the ledger's lock, alone: no batch is under way, so nothing moves.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from governance.budgets import Policy, Subject
from governance.ledger import rows
from governance.ledger.exclusion import own_ledger
from governance.ledger.opening import COUNTED
from governance.ledger.recounting import Recount, recounts, recounts_since
from governance.ledger.rollups import was_made
from governance.models import BudgetWindow, CallStatus, ModelCall
from governance.snapshot import load_policies

AT_ONCE = 2000
# What people call the rows of each table of sums.
NAMES = {
    "governance_usagehour": "hours",
    "governance_usageday": "days",
    "governance_usagesession": "sessions",
    "governance_latencyhour": "latencies",
}
READ = (
    *("team", "api_key", "user", "session", "job_id", "run_id", "provider", "model"),
    *("status", "admitted_at", "holds", "cost"),
    *("uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "output_tokens"),
)
WindowName = tuple[int, str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongWindow:
    """A budget's window, and what the ledger says it should be."""

    id: int
    policy: str
    scope_value: str
    starts_at: datetime
    consumed: int
    held: int
    right_consumed: int
    right_held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What differed from the ledger: rows of each table of sums, and windows."""

    sums: dict[str, int]
    windows: tuple[WrongWindow, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differed."""
        return not self.windows and not any(self.sums.values())


def rebuild(*, mend: bool) -> Rebuilt:
    """Compare everything that is kept beside the ledger with it; with `mend`, put it right."""
    with transaction.atomic():
        own_ledger()
        found = Rebuilt(
            sums={one.table: _sums(one, mend=mend) for one in recounts(connection.vendor)},
            windows=_wrong_windows(),
        )
        if mend:
            right = [
                BudgetWindow(pk=one.id, consumed=one.right_consumed, held=one.right_held)
                for one in found.windows
            ]
            rows.update(right, ("consumed", "held"))
    return found


def differing_since(since: datetime) -> dict[str, int]:
    """How many rows of each table by hour or day differ from the ledger, from `since` on, which is
    a midnight of UTC. Nobody waits: each table is one statement, and so sees one moment, and sums
    are committed together with what they sum."""
    with connection.cursor() as cursor:
        return {
            one.table: _differing_since(cursor, one, since)
            for one in recounts_since(connection.vendor)
        }


def _differing_since(cursor: Any, recount: Recount, since: datetime) -> int:
    columns, key = recount.columns, ", ".join(recount.key)
    moment = connection.ops.adapt_datetimefield_value(since)
    cursor.execute(
        f"WITH anew AS ({recount.query}), stored AS ({recount.stored}), "  # noqa: S608
        f"missing AS (SELECT {columns} FROM anew EXCEPT SELECT {columns} FROM stored), "
        f"wrong AS (SELECT {columns} FROM stored EXCEPT SELECT {columns} FROM anew) "
        f"SELECT COUNT(*) FROM (SELECT {key} FROM missing UNION SELECT {key} FROM wrong) "
        "AS differing",
        [moment, moment],
    )
    return int(cursor.fetchone()[0])


def _sums(recount: Recount, *, mend: bool) -> int:
    """How many rows of that table are wrong, missing or too many."""
    columns, key, table = recount.columns, ", ".join(recount.key), recount.table
    stored = f"SELECT {columns} FROM ({recount.stored}) AS stored"  # noqa: S608
    anew = f"SELECT {columns} FROM recount"  # noqa: S608
    differing = (
        f"SELECT COUNT(*) FROM (SELECT {key} FROM ({anew} EXCEPT {stored}) AS missing "  # noqa: S608
        f"UNION SELECT {key} FROM ({stored} EXCEPT {anew}) AS wrong) AS differing"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE recount AS {recount.query}")
        cursor.execute(differing)
        count = int(cursor.fetchone()[0])
        if count and mend:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608
            cursor.execute(f"INSERT INTO {table} ({columns}) {anew}")
        cursor.execute("DROP TABLE recount")
    return count


def _wrong_windows() -> tuple[WrongWindow, ...]:
    windows = list(BudgetWindow.objects.select_related("policy").order_by("pk"))
    if not windows:
        return ()
    with_windows = {window.policy_id for window in windows}
    policies = [one for one in load_policies() if one.id in with_windows]
    since = min(window.starts_at for window in windows)
    consumed, held = _from_ledger(policies, since)
    found = []
    for window in windows:
        right = consumed[_name(window)], held[window.pk]
        if (window.consumed, window.held) != right:
            found.append(_wrong(window, *right))
    return tuple(found)


def _from_ledger(
    policies: list[Policy], since: datetime
) -> tuple[dict[WindowName, int], dict[int, int]]:
    """What calls consumed by the names of windows, and what they hold by their rows."""
    consumed: dict[WindowName, int] = defaultdict(int)
    held: dict[int, int] = defaultdict(int)
    calls = ModelCall.objects.filter(
        admitted_at__gte=since, status__in=[*COUNTED, CallStatus.IN_FLIGHT]
    )
    for call in calls.only(*READ).order_by().iterator(AT_ONCE):
        if call.status == CallStatus.IN_FLIGHT:
            for hold in call.holds:
                held[hold["window"]] += hold["amount"]
            continue
        subject = _subject(call)
        for policy in policies:
            if policy.counts(subject):
                key = policy.window(subject, call.admitted_at)
                name = (policy.id, key.scope_value, key.period.starts_at)
                consumed[name] += _amount(call, policy.metric)
    return consumed, held


def _amount(call: ModelCall, metric: str) -> int:
    output, total = call.output_tokens or 0, call.total_tokens or 0
    amounts = {
        "cost": call.cost or 0,
        "tokens": total,
        "input_tokens": total - output,
        "output_tokens": output,
        "requests": int(was_made(call)),
    }
    return amounts[metric]


def _subject(call: ModelCall) -> Subject:
    return Subject(
        team_id=call.team_id,
        call_id=call.pk,
        provider=call.provider,
        model=call.model,
        api_key_id=call.api_key_id,
        user_id=call.user_id,
        session=call.session,
        job_id=call.job_id,
        run_id=call.run_id,
    )


def _name(window: BudgetWindow) -> WindowName:
    return window.policy_id, window.scope_value, window.starts_at


def _wrong(window: BudgetWindow, consumed: int, held: int) -> WrongWindow:
    return WrongWindow(
        id=window.pk,
        policy=window.policy.name,
        scope_value=window.scope_value,
        starts_at=window.starts_at,
        consumed=window.consumed,
        held=window.held,
        right_consumed=consumed,
        right_held=held,
    )
