"""The models that a host lists: asked for page by page, and kept for a few minutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from providers.adapters.listing import ListedModel
from providers.hosts import MOST_MODELS
from providers.models import DiscoveryListing, Provider

TTL = timedelta(minutes=5)
LONGEST_NAME = 200
PRICES = tuple(one.name for one in fields(ListedModel) if one.name.endswith("_price"))


@dataclass(frozen=True, slots=True)
class KeptListing:
    """What a host listed at `fetched_at`; not complete if it listed more than is read."""

    models: tuple[ListedModel, ...]
    is_complete: bool
    fetched_at: datetime

    def is_fresh(self, now: datetime) -> bool:
        """Whether the host need not be asked again yet."""
        return now - self.fetched_at < TTL


def kept_listing(provider: Provider) -> KeptListing | None:
    """What was kept of the provider's last listing, however old; None of another address."""
    row = DiscoveryListing.objects.filter(provider=provider).first()
    kept = None if row is None else row.models_json
    if row is None or not isinstance(kept, dict) or kept["of"] != provider.base_url:
        return None
    models = tuple(_restored(one) for one in kept["models"])
    return KeptListing(models, kept["complete"], row.fetched_at)


def keep(
    provider: Provider, listed: Iterable[ListedModel], *, is_complete: bool, now: datetime
) -> KeptListing:
    """Store what the host listed, in place of what it listed before.

    What cannot be stored is left out: a name that is too long, or has characters nobody can see.
    """
    fit = tuple(_presentable(one) for one in listed if _is_name(one.id))
    listing = KeptListing(fit[:MOST_MODELS], is_complete and len(fit) <= MOST_MODELS, now)
    content = {
        "of": provider.base_url,
        "complete": listing.is_complete,
        "models": [_stored(one) for one in listing.models],
    }
    DiscoveryListing.objects.update_or_create(
        provider=provider, defaults={"fetched_at": now, "models_json": content}
    )
    return listing


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _presentable(listed: ListedModel) -> ListedModel:
    return listed if _is_name(listed.display_name) else replace(listed, display_name="")


def _stored(listed: ListedModel) -> dict[str, Any]:
    values = {name: value for name, value in asdict(listed).items() if value not in (None, "")}
    return {name: str(one) if isinstance(one, Decimal) else one for name, one in values.items()}


def _restored(stored: Mapping[str, Any]) -> ListedModel:
    prices = {name: Decimal(stored[name]) for name in PRICES if name in stored}
    return ListedModel(**{**stored, **prices})
