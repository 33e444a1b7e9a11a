"""What the models that a host lists would change in the registry. Pure: it only proposes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from providers.adapters.listing import ListedModel
from providers.discovery.facts import (
    NO_ROLE,
    Facts,
    cost_tier,
    guessed,
    guessed_role,
    told,
)
from providers.discovery.price_list import list_context
from providers.discovery.prices import propose
from providers.discovery.proposed_price import NoPrice, ProposedPrice
from providers.models import ROLES_OF_KIND, MetadataSource, ProviderKind, ProviderModel
from providers.registry import AUTO, ProviderEntry

LONGEST_NAME = 200
UNFIT = re.compile(r"[^A-Za-z0-9._:/@+-]")
FIELD_NAMES: Mapping[str, str] = {
    "role": "role",
    "context_window": "context window",
    "max_output_tokens": "most output",
    "streaming": "streaming",
    "tools": "tools",
    "json_mode": "JSON",
    "vision": "vision",
    "audio": "audio",
    "cost_tier": "cost tier",
    "latency_tier": "latency tier",
}
NO_ROLE_NOTE = "It does nothing that Palyra can ask of a model: no chat, embeddings, transcription."
NAME_NOTE = "Its name cannot be a model's name here; add it by hand under another."
GONE_NOTE = "The host no longer lists it. Disable it if calls to it fail."
OPERATORS_NOTE = "An operator has set what it can do; that stays unless you pick it."


class Standing(StrEnum):
    """How a listed model stands to the registry."""

    NEW = "new"
    CHANGED = "changed"
    KNOWN = "known"
    GONE = "gone"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Change:
    """A field of a model as it is stored, and as it would be."""

    field: str
    before: Any
    after: Any

    @property
    def label(self) -> str:
        """The field as people call it."""
        return FIELD_NAMES[self.field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What discovery would do about one model.

    `listed_name` is what the host calls it, `name` what it is or would be called here; `role` is
    empty if it has none that Palyra could ask of it. `model_id` is the stored model's, if it is
    stored. `facts` are what it would have, `changes` what of it is different from what is stored.
    `overridden` says that an operator set what is stored.
    """

    listed_name: str
    name: str
    role: str
    standing: Standing
    facts: Facts
    model_id: int | None = None
    changes: tuple[Change, ...] = ()
    overridden: bool = False
    price: ProposedPrice | NoPrice
    note: str = ""

    @property
    def can_be_picked(self) -> bool:
        """Whether there is anything to apply at all."""
        return self.standing not in {Standing.GONE, Standing.UNUSABLE}

    @property
    def is_advised(self) -> bool:
        """Whether it is among what is applied when everything is: never over an operator's word."""
        return self.standing in {Standing.NEW, Standing.CHANGED} and not self.overridden


def proposals(
    listed: Iterable[ListedModel],
    stored: Iterable[ProviderModel],
    *,
    provider: ProviderEntry,
    is_complete: bool = True,
    at: datetime,
) -> tuple[Proposal, ...]:
    """One proposal for each model listed, in the host's order, then those that are listed no more.

    `stored` are all the provider's models. Of a listing that is not complete nothing is gone.
    """
    rows = tuple(stored)
    by_upstream = _by_upstream_name(rows)
    models = tuple({one.id: one for one in listed}.values())
    names = {one.id for one in models}
    made = [_proposal(one, by_upstream.get(one.id), provider, at) for one in models]
    gone = [row for row in rows if (row.upstream_name or row.name) not in names]
    return (*made, *(_gone(row) for row in gone if is_complete))


def _by_upstream_name(rows: Iterable[ProviderModel]) -> dict[str, ProviderModel]:
    """Each row by what the host calls it; the one of that very name where there are several."""
    found: dict[str, ProviderModel] = {}
    for row in rows:
        upstream = row.upstream_name or row.name
        if upstream not in found or row.name == upstream:
            found[upstream] = row
    return found


def _proposal(
    listed: ListedModel, row: ProviderModel | None, provider: ProviderEntry, at: datetime
) -> Proposal:
    said = told(listed)
    role = (row.role if row and not said.role else said.role) or _likely_role(listed, provider)
    price = propose(listed, role, provider=provider.name, base_url=provider.base_url, at=at)
    if isinstance(price, ProposedPrice):
        tier = cost_tier(price.uncached_input, price.output)
        said = Facts(cost_tier=tier).filled_from(said)
    if row is not None:
        return _of_stored(listed, row, said, price)
    role = "" if role == NO_ROLE else role
    likely = replace(guessed(listed.id), context_window=list_context(listed.id, provider.base_url))
    facts = replace(said, role=role).filled_from(likely)
    name, note = _usable_name(listed.id), ""
    if role not in ROLES_OF_KIND[ProviderKind(provider.kind)]:
        note = NO_ROLE_NOTE
    elif not name:
        note = NAME_NOTE
    return Proposal(
        listed_name=listed.id,
        name=name or listed.id,
        role=role,
        standing=Standing.UNUSABLE if note else Standing.NEW,
        facts=replace(facts, role=role),
        price=price,
        note=note,
    )


def _likely_role(listed: ListedModel, provider: ProviderEntry) -> str:
    """By its name; a host that has one role only has it of nothing else."""
    possible = ROLES_OF_KIND[ProviderKind(provider.kind)]
    return next(iter(possible)).value if len(possible) == 1 else guessed_role(listed.id)


def _of_stored(
    listed: ListedModel, row: ProviderModel, said: Facts, price: ProposedPrice | NoPrice
) -> Proposal:
    """Of a stored model only what the host itself tells is proposed, never a guess."""
    proposed = {
        field: value
        for field, value in said.known().items()
        if not (field == "role" and value == NO_ROLE)
    }
    changes = tuple(
        Change(field, getattr(row, field), value)
        for field, value in proposed.items()
        if getattr(row, field) != value
    )
    overridden = row.metadata_source == MetadataSource.OPERATOR
    return Proposal(
        listed_name=listed.id,
        name=row.name,
        role=proposed.get("role", row.role),
        standing=Standing.CHANGED if changes and not overridden else Standing.KNOWN,
        facts=Facts(**proposed),
        model_id=row.pk,
        changes=changes,
        overridden=overridden,
        price=price,
        note=OPERATORS_NOTE if overridden and changes else "",
    )


def _gone(row: ProviderModel) -> Proposal:
    return Proposal(
        listed_name=row.upstream_name or row.name,
        name=row.name,
        role=row.role,
        standing=Standing.GONE,
        facts=Facts(),
        model_id=row.pk,
        overridden=row.metadata_source == MetadataSource.OPERATOR,
        price=NoPrice(GONE_NOTE),
        note=GONE_NOTE,
    )


def _usable_name(listed: str) -> str:
    """The name with what no name may have replaced; empty if that makes no name."""
    name = UNFIT.sub("-", listed).lstrip("-._:/@+")
    return name if name and name != AUTO and len(name) <= LONGEST_NAME else ""
