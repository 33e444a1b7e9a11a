"""Whoever keeps prices, as far as discovery speaks to them.

Prices belong to the room above (`governance`), which registers its book when it is ready; so a
provider's page, command and API can show and apply prices without knowing who keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from providers.discovery.proposals import Proposal
from providers.discovery.proposed_price import ProposedPrice


class PriceStanding(StrEnum):
    """How a proposed price stands to the one in force.

    It may be that an operator has overridden it, that the host itself has told the one in force,
    and that nobody knows what the model costs.
    """

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    OVERRIDDEN = "overridden"
    TOLD = "told"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PriceComparison:
    """A proposed price and the one in force; `says` is what applying would do, in words."""

    standing: PriceStanding
    in_force: ProposedPrice | None
    says: str

    @property
    def would_be_set(self) -> bool:
        """Whether applying sets a price."""
        return self.standing in {PriceStanding.NEW, PriceStanding.CHANGED}

    @property
    def is_missing(self) -> bool:
        """Whether there is no price, and applying sets none."""
        return self.in_force is None and not self.would_be_set


class PriceBook(Protocol):
    """Keeps what models cost."""

    permission: str
    """What it takes to set a price, such as `governance.add_price`."""

    def compare(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        """By listed name."""

    def apply(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        """Set the prices that may be set, in the caller's transaction; what became of each.

        Every proposal has a `model_id` by now. Raises `ValidationError` for a price that cannot be.
        """


class NoPriceBook:
    """Nobody keeps prices: nothing is compared, nothing set."""

    permission = ""

    def compare(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        return {}

    def apply(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        return {}


_book: PriceBook = NoPriceBook()


def register_price_book(book: PriceBook) -> None:
    """Have `book` asked about prices from now on."""
    global _book  # noqa: PLW0603 - one for the process, set while Django starts
    _book = book


def price_book() -> PriceBook:
    """Who keeps the prices."""
    return _book
