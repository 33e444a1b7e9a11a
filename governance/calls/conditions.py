"""How things stand as a call is decided, as far as this process knows without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from governance.budgets import Policy, Subject
from governance.calls.planning import subject_of
from governance.calls.request import CallRequest
from governance.ledger.published import Published
from governance.models import ProviderLease
from governance.routing import Conditions
from governance.snapshot import Snapshot
from providers.breakers import BreakerBoard
from providers.identifiers import new_id
from providers.registry import ProviderEntry

if TYPE_CHECKING:
    from governance.runtime import Runtime

# Whose windows depend on where a call goes.
BY_PLACE = ("provider", "model")


def conditions(
    request: CallRequest, runtime: Runtime, snapshot: Snapshot, now: datetime
) -> Conditions:
    """Which providers cannot be called, how full they are, and what budgets leave at each model."""
    published = runtime.ledger.published
    return Conditions(
        unhealthy=_unhealthy(runtime.providers.breakers, snapshot, now),
        lease_pressure=published.pressure(_providers(snapshot).values()),
        remaining=remaining(request, snapshot, published, now),
    )


def stored_conditions(snapshot: Snapshot, now: datetime) -> Conditions:
    """The same for whoever makes no calls, from the database: two queries. What budgets leave is
    asked of them themselves."""
    in_use = dict(
        ProviderLease.objects.filter(credential=None).values_list("provider_id", "in_use")
    )
    return Conditions(
        unhealthy=_unhealthy(BreakerBoard.as_stored(), snapshot, now),
        lease_pressure={
            key: in_use.get(key, 0) / one.concurrency_limit
            for key, one in _providers(snapshot).items()
            if one.concurrency_limit
        },
    )


def _providers(snapshot: Snapshot) -> dict[int, ProviderEntry]:
    return {model.provider.id: model.provider for model in snapshot.registry.models}


def _unhealthy(board: BreakerBoard, snapshot: Snapshot, now: datetime) -> dict[int, str]:
    """By provider that cannot be called, why."""
    why = {key: board.usable(one, now, turn=False)[1] for key, one in _providers(snapshot).items()}
    return {key: words for key, words in why.items() if words}


def remaining(
    request: CallRequest, snapshot: Snapshot, published: Published, now: datetime
) -> dict[int, int]:
    """By model, the nano-dollars that cost budgets leave a call there; without those of which
    nothing is known. A rolling budget is not among them: this process knows no sum of it."""
    limiting = [one for one in snapshot.policies if _limits_cost(one)]
    # What was approved for this one call is not known here, and lets it go where it was asked to.
    if not limiting or request.approvals:
        return {}
    call_id = request.waiting or request.call_id or new_id()
    anywhere = [one for one in limiting if one.scope not in BY_PLACE]
    by_place = [one for one in limiting if one.scope in BY_PLACE]
    found: dict[int, int] = {}
    everywhere: int | None = None
    for index, model in enumerate(snapshot.registry.models):
        subject = subject_of(request.caller, call_id, model)
        if index == 0:
            everywhere = _least(anywhere, subject, published, now)
        here = _least(by_place, subject, published, now)
        known = [one for one in (everywhere, here) if one is not None]
        if known:
            found[model.id] = min(known)
    return found


def _limits_cost(policy: Policy) -> bool:
    stops = policy.enabled and policy.hard_limit is not None and policy.action != "alert"
    return stops and policy.metric == "cost" and not policy.rolling and policy.interval != "run"


def _least(
    policies: Iterable[Policy], subject: Subject, published: Published, now: datetime
) -> int | None:
    left = [
        published.left(policy, policy.window(subject, now), now)
        for policy in policies
        if policy.counts(subject)
    ]
    return min((one for one in left if one is not None), default=None)
