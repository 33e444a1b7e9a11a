"""What a listed model may cost: from the host's own listing, else from `genai-prices`' data."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from providers.adapters.listing import ListedModel
from providers.discovery.price_list import list_price
from providers.discovery.proposed_price import NoPrice, ProposedPrice
from providers.models import ModelRole

TOLD = "discovery: "


def propose(
    listed: ListedModel, role: str, *, provider: str, base_url: str, at: datetime
) -> ProposedPrice | NoPrice:
    """The price of a model that `provider` lists. Pure, but for the package's data."""
    from_host = told_price(listed, role, source=f"{TOLD}{provider}")
    return from_host or list_price(listed.id, role, base_url=base_url, at=at)


def told_price(listed: ListedModel, role: str, *, source: str) -> ProposedPrice | None:
    """The price in the host's own listing, where it says one."""
    uncached, output = listed.input_price, listed.output_price
    if output is None and role == ModelRole.EMBEDDINGS:
        output = Decimal(0)
    if uncached is None or output is None:
        return None
    price = ProposedPrice(
        uncached_input=uncached,
        output=output,
        cache_read=listed.cache_read_price,
        cache_write_5m=listed.cache_write_price,
        per_request=listed.request_price or Decimal(0),
        source=source,
    )
    return price if price.is_believable else None
