"""How budgets stand for a call that is only asked about: nothing is locked, opened or held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from governance.budgets import Counter, Policy, Subject, WindowKey, together
from governance.ledger.opening import balance
from governance.models import BudgetWindow


def look(
    subject: Subject, policies: Iterable[Policy], now: datetime
) -> list[tuple[Policy, WindowKey, Counter]]:
    """How each policy that counts such a call stands, as an admission would find it; one query, and
    one for each window that is not open yet."""
    counting = [
        (policy, policy.window(subject, now), policy.windows(subject, now, now))
        for policy in policies
        if policy.counts(subject)
    ]
    found = _counters([key for _, _, keys in counting for key in keys])
    return [
        (policy, own, together(policy, own, _with_unopened(policy, own, keys, found), now))
        for policy, own, keys in counting
    ]


def _counters(keys: Sequence[WindowKey]) -> dict[tuple[int, str, datetime], Counter]:
    rows = BudgetWindow.objects.filter(
        policy_id__in={key.policy_id for key in keys},
        scope_value__in={key.scope_value for key in keys},
        starts_at__in={key.period.starts_at for key in keys},
    ).values_list("policy_id", "scope_value", "starts_at", "pk", "consumed", "held", "raised_by")
    return {
        (policy_id, value, starts_at): Counter(
            window_id=pk, consumed=consumed, held=held, raised_by=raised_by
        )
        for policy_id, value, starts_at, pk, consumed, held, raised_by in rows
    }


def _with_unopened(
    policy: Policy,
    own: WindowKey,
    keys: Sequence[WindowKey],
    found: dict[tuple[int, str, datetime], Counter],
) -> Iterable[tuple[WindowKey, Counter]]:
    """The windows that count, each as it is or as it would open."""
    for key in keys:
        counter = found.get((key.policy_id, key.scope_value, key.period.starts_at))
        if counter is None and policy.must_open(key):
            consumed, held = balance(policy, key)
            counter = Counter(window_id=0, consumed=consumed, held=held)
        if counter is None and key == own:
            counter = Counter(window_id=0, consumed=0, held=0)
        if counter is not None:
            yield key, counter
