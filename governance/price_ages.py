"""How old the prices of the models are that calls may go to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Q

from governance.models import GovernanceSettings
from providers.models import ProviderModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceAges:
    """The models of prices older than `stale_days`, with their ages in days, the oldest first; the
    models that have none; and how many are priced."""

    stale: tuple[tuple[str, int], ...]
    unpriced: tuple[str, ...]
    priced: int
    stale_days: int


def price_ages(now: datetime) -> PriceAges:
    """As it is at `now`: two queries."""
    stale_days = (GovernanceSettings.objects.first() or GovernanceSettings()).price_stale_days
    models = ProviderModel.objects.filter(enabled=True, provider__enabled=True)
    rows = models.annotate(
        confirmed=Max("prices__effective_from", filter=Q(prices__effective_from__lte=now))
    ).values_list("provider__name", "name", "confirmed")
    ages = {
        f"{provider}/{name}": None if confirmed is None else (now - confirmed).days
        for provider, name, confirmed in rows.order_by("provider__name", "name")
    }
    known = [(model, age) for model, age in ages.items() if age is not None]
    return PriceAges(
        stale=tuple(
            sorted((one for one in known if one[1] >= stale_days), key=lambda one: -one[1])
        ),
        unpriced=tuple(model for model, age in ages.items() if age is None),
        priced=len(known),
        stale_days=stale_days,
    )
