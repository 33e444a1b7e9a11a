"""Prices from `genai-prices` for the models of the registry: what would change, and changing it.

Nothing is asked of any host: the data comes with the package. What discovery proposes of prices
for one provider this does for all of them, by the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from governance.pricing import PriceEntry
from governance.proposed_prices import compare, in_force, set_price
from providers.discovery import NoPrice, PriceComparison, PriceStanding, ProposedPrice
from providers.discovery.price_list import list_price, list_source
from providers.models import ProviderKind, ProviderModel

NOTHING_PICKED = "Pick at least one model."
WORDS: Mapping[PriceStanding, str] = {
    PriceStanding.NEW: "new",
    PriceStanding.CHANGED: "changed",
    PriceStanding.UNCHANGED: "unchanged",
    PriceStanding.OVERRIDDEN: "overridden by an operator",
    PriceStanding.TOLD: "told by the host itself",
    PriceStanding.UNKNOWN: "not in the list",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A model as the list is asked about it: by its host's address and the host's name for it."""

    id: int
    name: str
    host_name: str
    role: str
    base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLine:
    """One model: what the list says that it costs, and how that stands to the price in force."""

    model_id: int
    model: str
    proposed: ProposedPrice | NoPrice
    comparison: PriceComparison

    @property
    def standing(self) -> PriceStanding:
        """How the listed price stands to the one in force."""
        return self.comparison.standing

    @property
    def would_be_set(self) -> bool:
        """Whether applying sets a price."""
        return self.comparison.would_be_set


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceImport:
    """What the list says of a number of models at a moment."""

    source: str
    at: datetime
    lines: tuple[ImportLine, ...]

    def counts(self) -> dict[PriceStanding, int]:
        """How many models stand in each way."""
        return {
            standing: sum(line.standing is standing for line in self.lines)
            for standing in PriceStanding
        }

    @property
    def to_set(self) -> int:
        """How many prices applying sets."""
        return sum(line.would_be_set for line in self.lines)

    def of(self, models: Collection[int]) -> PriceImport:
        """The same of these models only."""
        kept = tuple(line for line in self.lines if line.model_id in models)
        return replace(self, lines=kept)

    def __str__(self) -> str:
        """What is in it, in a sentence."""
        counts = self.counts().items()
        parts = [f"{count} {WORDS[standing]}" for standing, count in counts if count]
        return f"{self.source}: {', '.join(parts) or 'no model to ask about'}."


def compared(
    models: Iterable[Registered], known: Mapping[int, PriceEntry], now: datetime
) -> PriceImport:
    """Each model's listed price against the one in force. Pure, but for the package's data."""
    lines = []
    for model in models:
        proposed = list_price(model.host_name, model.role, base_url=model.base_url, at=now)
        comparison = compare(proposed, known.get(model.id))
        lines.append(
            ImportLine(
                model_id=model.id, model=model.name, proposed=proposed, comparison=comparison
            )
        )
    return PriceImport(source=list_source(), at=now, lines=tuple(lines))


def preview(*, now: datetime) -> PriceImport:
    """What applying would change now, of every model that a host answers: three queries."""
    return _against_those_in_force(_models(), now)


def apply(picked: Collection[int] | None, *, now: datetime) -> PriceImport:
    """Set the prices that are new or changed of the models `picked`, of all if None, from `now` on.

    What is given back says what was done. Raises `ValidationError` with every fault, and changes
    nothing then.
    """
    # Whatever it looks up is remembered, so that nobody waits for that while rows are locked.
    preview(now=now)
    with transaction.atomic():
        # Whoever sets a price of these by hand does so before this is read, or after it is done.
        models = _models().select_for_update(of=("self",))
        found = _against_those_in_force(models, now)
        if picked is not None:
            found = _chosen(found, picked)
        _set(found, now)
    return found


def _models() -> QuerySet[ProviderModel]:
    """Those that a host answers; what rehearses costs nothing anywhere."""
    remote = ProviderModel.objects.exclude(provider__kind=ProviderKind.DETERMINISTIC)
    return remote.select_related("provider").order_by("provider__name", "name")


def _against_those_in_force(rows: QuerySet[ProviderModel], now: datetime) -> PriceImport:
    models = [
        Registered(
            id=row.pk,
            name=str(row),
            host_name=row.upstream_name or row.name,
            role=row.role,
            base_url=row.provider.base_url,
        )
        for row in rows
    ]
    return compared(models, in_force([one.id for one in models], now), now)


def _chosen(found: PriceImport, picked: Collection[int]) -> PriceImport:
    lines = {line.model_id: line for line in found.lines}
    faults = [] if picked else [NOTHING_PICKED]
    for model in dict.fromkeys(picked):
        line = lines.get(model)
        if line is None:
            faults.append(f"There is no model “{model}” that a host answers.")
        elif not line.would_be_set and line.standing is not PriceStanding.UNCHANGED:
            faults.append(f"“{line.model}”: {line.comparison.says}")
    if faults:
        raise ValidationError({"models": faults})
    return found.of(set(picked))


def _set(found: PriceImport, now: datetime) -> None:
    faults: list[str] = []
    for line in found.lines:
        if line.would_be_set and isinstance(line.proposed, ProposedPrice):
            said = set_price(line.model_id, line.proposed, now)
            faults += [f"“{line.model}”: {fault}" for fault in said]
    if faults:
        raise ValidationError({"models": faults})
