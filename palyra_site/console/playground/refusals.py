"""Why a call gave no answer, in words, and where a person can go from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from governance.errors import (
    ApprovalRequired,
    BudgetBlocked,
    CallError,
    InvalidRequest,
    LedgerUnavailable,
    ModelNotAllowed,
    ProviderFailed,
    ProviderUnavailable,
    RateLimited,
    UnknownModel,
    UnpricedModel,
)

# What links lead to: each is offered to whoever may see it.
LINKED = (
    "governance.modelcall",
    "governance.approval",
    "governance.budgetpolicy",
    "governance.price",
    "governance.team",
    "providers.provider",
    "providers.providermodel",
)
# The nearest word counts, so a class stands before those it is one of.
TITLES: tuple[tuple[type[CallError], str], ...] = (
    (ApprovalRequired, "This call needs approval"),
    (RateLimited, "Too much at once"),
    (BudgetBlocked, "A budget refused this call"),
    (UnpricedModel, "The model has no price"),
    (ModelNotAllowed, "The team may not use this model"),
    (UnknownModel, "There is no such model"),
    (InvalidRequest, "This cannot be asked"),
    (LedgerUnavailable, "The ledger is away, so nothing was sent"),
    (ProviderUnavailable, "No provider can take it now"),
    (ProviderFailed, "The provider gave no answer"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where to go on."""

    label: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is shown in place of an answer, or under one that broke off.

    `approvals` are the requests to raise a budget that were made for the call: once they are
    given, the same call is sent with them. `entered` says whether the ledger has a row of the call,
    which may be waited for.
    """

    title: str
    message: str
    entered: bool = False
    links: tuple[Link, ...] = ()
    approvals: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the page's script."""
        return asdict(self)


def refusal_of(error: CallError, *, viewable: Collection[str]) -> Refusal:
    """What `error` says to somebody who may see the kinds of object `viewable`."""
    title = next((words for kind, words in TITLES if isinstance(error, kind)), "It was not made")
    message = error.message
    if isinstance(error, RateLimited) and error.seconds_to_wait is not None:
        message = f"{message} There is room again in {error.seconds_to_wait} s."
    approvals = [one["id"] for one in error.detail.get("approvals", ())]
    if approvals:
        message = f"{message} Somebody else may approve it; then send it again."
    return Refusal(
        title=title,
        message=message,
        entered=error.call_id is not None,
        links=tuple(link for kind, link in _links(error) if kind in viewable),
        approvals=tuple(approvals),
    )


def _links(error: CallError) -> Iterator[tuple[str, Link]]:
    """Each with the kind of object it leads to."""
    for number, asked in enumerate(error.detail.get("approvals", ()), 1):
        label = "The request for approval" + (f" {number}" if number > 1 else "")
        yield "governance.approval", _object("governance.approval", asked["id"], label)
    for kind, find in WHERE:
        if isinstance(error, kind):
            yield from find(error)
    if error.call_id is not None:
        yield "governance.modelcall", _object("governance.modelcall", error.call_id, "The call")


def _policy(error: CallError) -> Iterator[tuple[str, Link]]:
    name, tightest = str(error.detail.get("policy", "")), error.tightest
    if not name:
        return
    kind, label = "governance.budgetpolicy", f"The budget “{name}”"
    if tightest is not None and tightest.policy == name:
        yield kind, _object(kind, tightest.policy_id, label)
    else:
        yield kind, _list(kind, label, q=name)


def _provider(error: CallError) -> Iterator[tuple[str, Link]]:
    name = str(error.detail.get("provider", ""))
    if name:
        yield "providers.provider", _list("providers.provider", f"The provider {name}", q=name)


def _models(_: CallError) -> Iterator[tuple[str, Link]]:
    yield "providers.providermodel", _list("providers.providermodel", "The models")


def _prices(_: CallError) -> Iterator[tuple[str, Link]]:
    yield "governance.price", _list("governance.price", "The prices")


def _teams(_: CallError) -> Iterator[tuple[str, Link]]:
    yield "governance.team", _list("governance.team", "The teams")


WHERE: tuple[tuple[type[CallError], Callable[[CallError], Iterator[tuple[str, Link]]]], ...] = (
    (BudgetBlocked, _policy),
    (UnpricedModel, _policy),
    (UnpricedModel, _prices),
    (ModelNotAllowed, _teams),
    (UnknownModel, _models),
    (ProviderFailed, _provider),
)


def _object(kind: str, key: Any, label: str) -> Link:
    return Link(
        label=label, address=reverse(f"admin:{kind.replace('.', '_')}_change", args=[str(key)])
    )


def _list(kind: str, label: str, **filters: str) -> Link:
    address = reverse(f"admin:{kind.replace('.', '_')}_changelist")
    return Link(label=label, address=f"{address}?{urlencode(filters)}" if filters else address)
