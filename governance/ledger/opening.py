"""Opening a budget's window: it starts from what the ledger already says, never from nothing.

So a policy made in the middle of a month counts the whole month, and calls in flight when it is
made are held on it like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from governance.budgets import OF_RUN, Policy, WindowKey
from governance.ledger.exclusion import own_ledger
from governance.models import BudgetWindow, CallStatus, ModelCall
from governance.windows import Period

TOKEN_COLUMNS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
# By metric, what of a row it sums up.
COLUMNS = {
    "cost": ("cost",),
    "tokens": TOKEN_COLUMNS,
    "input_tokens": TOKEN_COLUMNS[:-1],
    "output_tokens": TOKEN_COLUMNS[-1:],
}
COUNTED = (
    CallStatus.SUCCEEDED,
    CallStatus.FAILED,
    CallStatus.CANCELLED,
    CallStatus.UNCONFIRMED,
)


def open_window(policy: Policy, key: WindowKey) -> BudgetWindow:
    """The window of `key`, made with its opening balance if there is none yet."""
    with transaction.atomic():
        own_ledger()
        return _opened(policy, key)


def open_windows(
    missing: Mapping[WindowKey, Policy], counted: Collection[WindowKey]
) -> dict[WindowKey, int]:
    """The ids of those windows, all opened in one commit. A bucket that is not `counted` on, and
    that no call is in, stays without a row: a policy just made has many of them for each value."""
    opened = {}
    with transaction.atomic():
        own_ledger()
        used = _used(missing.keys() - counted, missing)
        # Sorted, so that they are written in the order in which they are locked.
        for key in sorted(used | (missing.keys() & counted), key=_sort_key):
            opened[key] = _opened(missing[key], key).pk
    return opened


def open_at_zero(keys: Collection[WindowKey]) -> dict[WindowKey, int]:
    """The ids of windows on which nothing can have been counted before they are opened: made within
    the caller's transaction, and nobody has to stand still for it."""
    if not keys:
        return {}
    rows = [
        BudgetWindow(
            policy_id=key.policy_id,
            scope_value=key.scope_value,
            starts_at=key.period.starts_at,
            ends_at=key.period.ends_at,
        )
        for key in sorted(keys, key=_sort_key)
    ]
    BudgetWindow.objects.bulk_create(rows, ignore_conflicts=True)
    found = BudgetWindow.objects.filter(
        policy_id__in={key.policy_id for key in keys},
        scope_value__in={key.scope_value for key in keys},
    ).values_list("policy_id", "scope_value", "starts_at", "pk")
    ids = {(policy_id, value, starts_at): pk for policy_id, value, starts_at, pk in found}
    return {key: ids[key.policy_id, key.scope_value, key.period.starts_at] for key in keys}


def _opened(policy: Policy, key: WindowKey) -> BudgetWindow:
    window, created = BudgetWindow.objects.get_or_create(
        policy_id=key.policy_id,
        scope_value=key.scope_value,
        starts_at=key.period.starts_at,
        defaults={"ends_at": key.period.ends_at},
    )
    if created:
        window.consumed, _ = balance(policy, key)
        window.held = _hold_in_flight(calls_of(policy, key), window, policy.metric)
        window.save(update_fields=["consumed", "held"])
    return window


def _used(buckets: Collection[WindowKey], policies: Mapping[WindowKey, Policy]) -> set[WindowKey]:
    """The buckets that there are calls in; most values have none in any of theirs."""
    by_value: dict[tuple[int, str], list[WindowKey]] = defaultdict(list)
    for key in buckets:
        by_value[key.policy_id, key.scope_value].append(key)
    used: set[WindowKey] = set()
    for keys in by_value.values():
        keys.sort(key=_sort_key)
        policy, whole = policies[keys[0]], Period(keys[0].period.starts_at, keys[-1].period.ends_at)
        if calls_of(policy, replace(keys[0], period=whole)).exists():
            used |= {key for key in keys if calls_of(policy, key).exists()}
    return used


def _sort_key(key: WindowKey) -> tuple[int, str, datetime]:
    return key.policy_id, key.scope_value, key.period.starts_at


def balance(policy: Policy, key: WindowKey) -> tuple[int, int]:
    """What the window would open with: consumed and held, as the ledger has it."""
    calls = calls_of(policy, key)
    in_flight = calls.filter(status=CallStatus.IN_FLIGHT)
    held = sum(_held_amount(call, policy.metric) for call in in_flight)
    return _consumed(calls.filter(status__in=COUNTED), policy.metric), held


def calls_of(
    policy: Policy, key: WindowKey, among: QuerySet[ModelCall] | None = None
) -> QuerySet[ModelCall]:
    """The calls in the ledger, or `among` some of them, that a window counts."""
    calls = ModelCall.objects.all() if among is None else among
    calls = calls.filter(admitted_at__gte=key.period.starts_at)
    if key.period.ends_at is not None:
        calls = calls.filter(admitted_at__lt=key.period.ends_at)
    if policy.team_id is not None:
        calls = calls.filter(team_id=policy.team_id)
    value = key.scope_value
    if policy.interval == "run":
        value, _, run = value.rpartition(OF_RUN)
        calls = calls.filter(Q(run_id=run) | Q(pk=run))
    return calls.filter(_in_scope(policy.scope, value))


def _in_scope(scope: str, value: str) -> Q:
    """The condition that `budgets.scope_value` gives a call that value."""
    if scope == "global":
        return Q()
    if scope == "session":
        team, _, session = value.partition(":")
        return Q(team_id=int(team), session=session)
    if scope == "provider":
        return Q(provider=value)
    if scope == "model":
        provider, _, model = value.partition("/")
        return Q(provider=provider, model=model)
    if scope == "job":
        return Q(job_id=value)
    return Q(**{f"{scope}_id": int(value)})


def _consumed(calls: QuerySet[ModelCall], metric: str) -> int:
    # A row's own list of what it charged is for the windows it was held on; this one is new to it.
    if metric == "requests":
        # Neither one that was given up before anything was sent, nor one that was never begun.
        made = calls.exclude(status=CallStatus.CANCELLED, **dict.fromkeys(TOKEN_COLUMNS, 0))
        return made.exclude(status=CallStatus.FAILED, output_tokens=None).count()
    amounts = sum((Coalesce(F(name), Value(0)) for name in COLUMNS[metric]), start=Value(0))
    return int(calls.aggregate(total=Sum(amounts))["total"] or 0)


def _hold_in_flight(calls: QuerySet[ModelCall], window: BudgetWindow, metric: str) -> int:
    """Enter the new window among what calls settle on that may still be settled; what is held.

    Calls under way are held on it. Unconfirmed ones are counted on it already, and a settlement
    that comes late corrects it.
    """
    held = 0
    unsettled = (CallStatus.IN_FLIGHT, CallStatus.UNCONFIRMED)
    for call in calls.filter(status__in=unsettled).order_by("pk"):
        hold = _hold(call, window, metric)
        call.holds = [*call.holds, hold]
        call.save(update_fields=["holds"])
        held += hold["amount"]
    return held


def _hold(call: ModelCall, window: BudgetWindow, metric: str) -> dict[str, Any]:
    hold: dict[str, Any] = {"window": window.pk, "metric": metric}
    if call.status == CallStatus.UNCONFIRMED:
        charged = {
            "requests": 1,
            "cost": call.cost or 0,
            "tokens": call.total_tokens or 0,
            "input_tokens": (call.total_tokens or 0) - (call.output_tokens or 0),
            "output_tokens": call.output_tokens or 0,
        }
        return {**hold, "amount": 0, "expected": 0, "charged": charged[metric]}
    expected = {
        "requests": 1,
        "cost": call.estimate_expected or 0,
        "tokens": call.expected_input_tokens + call.expected_output_tokens,
        "input_tokens": call.expected_input_tokens,
        "output_tokens": call.expected_output_tokens,
    }
    return {**hold, "amount": _held_amount(call, metric), "expected": expected[metric]}


def _held_amount(call: ModelCall, metric: str) -> int:
    """The most that a call under way may still use."""
    amounts = {
        "requests": 1,
        "cost": call.estimate_upper or 0,
        "tokens": call.token_bound,
        "input_tokens": call.token_bound - call.output_bound,
        "output_tokens": call.output_bound,
    }
    return amounts[metric]
