"""Taking over what an operator picked of a host's listing: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from providers.discovery.facts import Facts
from providers.discovery.listing import KeptListing, kept_listing
from providers.discovery.price_book import PriceComparison, price_book
from providers.discovery.proposals import Proposal, Standing, proposals
from providers.models import MetadataSource, Provider, ProviderModel
from providers.registry import entry

# The permissions it takes to take models over: those stored already are changed by it.
TAKING_OVER = (
    "providers.change_provider",
    "providers.add_providermodel",
    "providers.change_providermodel",
)
NOTHING_KEPT = "Nothing was discovered yet. Discover the host's models first."
NOTHING_PICKED = "Pick at least one model."


@dataclass(frozen=True, slots=True)
class Review:
    """A host's listing and what it would change; `prices` is by listed name."""

    listing: KeptListing
    proposals: tuple[Proposal, ...]
    prices: Mapping[str, PriceComparison]

    def counted(self, standing: Standing) -> int:
        """How many of the models stand so."""
        return sum(one.standing is standing for one in self.proposals)

    def __str__(self) -> str:
        """What is in it, in a sentence."""
        new, changed = self.counted(Standing.NEW), self.counted(Standing.CHANGED)
        gone = self.counted(Standing.GONE)
        parts = [
            f"{number} {words}"
            for number, words in ((new, "new"), (changed, "changed"), (gone, "no longer listed"))
            if number
        ]
        listed = _counted(len(self.listing.models), "model")
        return f"The host lists {listed}: {', '.join(parts) or 'nothing new'}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done: models by their names here, and what became of each one's price."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    prices: Mapping[str, PriceComparison] = field(default_factory=dict)
    with_prices: bool = True

    @property
    def unpriced(self) -> int:
        """How many of the models have no price, as far as it was asked."""
        return sum(one.is_missing for one in self.prices.values())

    def __str__(self) -> str:
        done = [
            f"{_counted(len(names), 'model')} {verb}"
            for names, verb in ((self.created, "added"), (self.updated, "updated"))
            if names
        ]
        sentences = [f"{' and '.join(done)}." if done else "No model had to be changed."]
        priced = sum(one.would_be_set for one in self.prices.values())
        if priced:
            sentences.append(f"{_counted(priced, 'price')} set.")
        if not self.with_prices:
            sentences.append("Prices stayed as they were.")
        if self.unpriced:
            sentences.append(
                f"{_counted(self.unpriced, 'model')} without a price: budgets on cost refuse "
                f"{'it' if self.unpriced == 1 else 'them'} until one is set."
            )
        return " ".join(sentences)


def review(provider: Provider, listing: KeptListing, *, now: datetime) -> Review:
    """What `listing` would change, against what is stored now."""
    found = _proposals(provider, listing, now)
    return Review(listing, found, price_book().compare(found, now=now))


def apply(
    provider: Provider, picked: Iterable[str] | None, *, with_prices: bool = True, now: datetime
) -> Applied:
    """Take over the models `picked`, by the host's names for them, from the listing that is kept;
    all that are advised if None.

    Raises `ValidationError` with every fault, and changes nothing then.
    """
    with transaction.atomic():
        # Two who apply the same at once do so one after the other.
        Provider.objects.select_for_update().get(pk=provider.pk)
        listing = kept_listing(provider)
        if listing is None:
            raise ValidationError({"models": NOTHING_KEPT})
        found = _proposals(provider, listing, now)
        if picked is None:
            chosen = tuple(one for one in found if one.is_advised)
        else:
            chosen = _chosen(tuple(dict.fromkeys(picked)), found)
        stored = _store(provider, chosen)
        prices = price_book().apply(stored, now=now) if with_prices else {}
    return Applied(
        created=tuple(one.name for one in chosen if one.model_id is None),
        updated=tuple(one.name for one in chosen if one.model_id is not None and one.changes),
        unchanged=tuple(one.name for one in chosen if one.model_id is not None and not one.changes),
        prices=prices,
        with_prices=with_prices,
    )


def _proposals(provider: Provider, listing: KeptListing, now: datetime) -> tuple[Proposal, ...]:
    return proposals(
        listing.models,
        provider.models.all(),
        provider=entry(provider),
        is_complete=listing.is_complete,
        at=now,
    )


def _chosen(names: tuple[str, ...], found: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    by_name = {one.listed_name: one for one in found}
    faults = [] if names else [NOTHING_PICKED]
    for name in names:
        proposal = by_name.get(name)
        if proposal is None:
            faults.append(f"“{name}” is not among the models that the host listed.")
        elif not proposal.can_be_picked:
            faults.append(f"“{name}” cannot be taken over. {proposal.note}")
    if faults:
        raise ValidationError({"models": faults})
    return tuple(by_name[name] for name in names)


def _store(provider: Provider, chosen: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    """Write each model; the proposals with the identifiers of the models they now stand for."""
    rows: dict[int | None, ProviderModel] = {row.pk: row for row in provider.models.all()}
    stored, faults = [], []
    for proposal in chosen:
        row = rows.get(proposal.model_id) or _new_row(provider, proposal)
        is_changed = row.pk is None or bool(proposal.changes)
        _take_over(row, proposal.facts)
        if not is_changed:
            stored.append(proposal)
            continue
        row.metadata_source = MetadataSource.DISCOVERY
        try:
            row.full_clean()
        except ValidationError as error:
            faults += [f"“{proposal.listed_name}”: {text}" for text in _sentences(error)]
            continue
        row.save()
        stored.append(replace(proposal, model_id=row.pk))
    if faults:
        raise ValidationError({"models": faults})
    return tuple(stored)


def _new_row(provider: Provider, proposal: Proposal) -> ProviderModel:
    upstream = "" if proposal.name == proposal.listed_name else proposal.listed_name
    return ProviderModel(provider=provider, name=proposal.name, upstream_name=upstream)


def _take_over(row: ProviderModel, facts: Facts) -> None:
    for name, value in facts.known().items():
        setattr(row, name, value)
    row.max_output_tokens = min(row.max_output_tokens, row.context_window)


def _sentences(error: ValidationError) -> list[str]:
    return [text for texts in error.message_dict.values() for text in texts]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
