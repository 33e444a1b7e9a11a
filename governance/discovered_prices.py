"""The prices that discovery proposes: what it is told of those in force, and how it sets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.core.exceptions import ValidationError

from governance.proposed_prices import compare, in_force, set_price
from providers.discovery.price_book import PriceComparison
from providers.discovery.proposals import Proposal
from providers.discovery.proposed_price import ProposedPrice


class GovernancePriceBook:
    """What discovery is told of prices, and how it has them set."""

    permission = "governance.add_price"

    def compare(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        """Each proposed price against the one in force: two queries."""
        known = in_force([one.model_id for one in proposals if one.model_id is not None], now)
        return {
            one.listed_name: compare(
                one.price, None if one.model_id is None else known.get(one.model_id)
            )
            for one in proposals
        }

    def apply(
        self, proposals: Sequence[Proposal], *, now: datetime
    ) -> Mapping[str, PriceComparison]:
        """Set each price that is new or different, from `now` on."""
        compared = self.compare(proposals, now=now)
        faults = []
        for proposal in proposals:
            if not compared[proposal.listed_name].would_be_set:
                continue
            assert isinstance(proposal.price, ProposedPrice)
            assert proposal.model_id is not None
            found = set_price(proposal.model_id, proposal.price, now)
            faults += [f"“{proposal.listed_name}”: {fault}" for fault in found]
        if faults:
            raise ValidationError({"models": faults})
        return compared
