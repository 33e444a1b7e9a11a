"""The models that a host lists: fetched, page by page, and kept for a few minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from providers.discovery.facts import CONTEXT_FIELDS, NESTED, OUTPUT_FIELDS, ListedModel
from providers.models import DiscoveryListing, Provider

TTL = timedelta(minutes=5)
MOST_MODELS = 5000
LONGEST_NAME = 200
MOST_WORDS = 100
DEPTH = 4
# Of what hosts say, only what is looked at is kept: descriptions alone are often half a megabyte.
KEPT_FIELDS = frozenset(
    {
        *CONTEXT_FIELDS,
        *OUTPUT_FIELDS,
        *NESTED,
        "architecture",
        "capabilities",
        "input_modalities",
        "modality",
        "output_modalities",
        "pricing",
        "supported_parameters",
        "type",
    }
)


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
    """What was kept of the provider's last listing, however old."""
    row = DiscoveryListing.objects.filter(provider=provider).first()
    if row is None or not isinstance(row.models_json, dict):
        return None
    return KeptListing(
        tuple(ListedModel(one["name"], one["told"]) for one in row.models_json["models"]),
        row.models_json["complete"],
        row.fetched_at,
    )


def keep(
    provider: Provider,
    listed: tuple[ListedModel, ...],
    *,
    is_complete: bool,
    now: datetime | None = None,
) -> KeptListing:
    """Store what the host listed, in place of what it listed before."""
    listing = KeptListing(listed, is_complete, now or timezone.now())
    DiscoveryListing.objects.update_or_create(
        provider=provider,
        defaults={
            "fetched_at": listing.fetched_at,
            "models_json": {
                "complete": is_complete,
                "models": [{"name": one.name, "told": dict(one.told)} for one in listed],
            },
        },
    )
    return listing


def worth_keeping(name: Any, told: Any) -> ListedModel | None:
    """A model as it is kept; None for what cannot be a model's name."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        return None
    said = told if isinstance(told, Mapping) else {}
    kept = {
        field: _plain(value, DEPTH)
        for field, value in said.items()
        if field in KEPT_FIELDS or str(field).startswith("supports_")
    }
    return ListedModel(name, kept)


def _plain(value: Any, depth: int) -> Any:
    """`value` without what neither is looked at nor could be stored: long or unprintable texts."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_NAME and value.isprintable() else ""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth and isinstance(value, list):
        return [_plain(one, depth - 1) for one in value[:MOST_WORDS]]
    if depth and isinstance(value, Mapping):
        items = list(value.items())[:MOST_WORDS]
        return {name: _plain(one, depth - 1) for name, one in items if name.isprintable()}
    return None
