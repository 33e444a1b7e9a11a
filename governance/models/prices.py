"""What models cost."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from governance.fields import NanoDollarsField
from providers.models import ProviderModel
from providers.versioned import Versioned

# $100,000 a million tokens: beyond any price, and the dearest call still fits its column.
HIGHEST = 10**14
TOO_HIGH = "The price cannot be above $100,000."


class PricePrecision(models.TextChoices):
    """How far a price can be trusted."""

    EXACT = "exact", "Exact"
    ESTIMATE = "estimate", "Estimate"


def _per_million(verbose_name: str, **kwargs: Any) -> NanoDollarsField:
    return NanoDollarsField(
        verbose_name,
        validators=[MinValueValidator(0), MaxValueValidator(HIGHEST, TOO_HIGH)],
        help_text="US dollars per million tokens.",
        **kwargs,
    )


class Price(Versioned):
    """What a model costs from `effective_from` on, in nano-dollars per million tokens a bucket."""

    model = models.ForeignKey(ProviderModel, on_delete=models.CASCADE, related_name="prices")
    effective_from = models.DateTimeField(default=timezone.now)
    uncached_input = _per_million("input")
    cache_read = _per_million("cache read", null=True, blank=True)
    cache_write_5m = _per_million("cache write, 5 minutes", null=True, blank=True)
    cache_write_1h = _per_million("cache write, 1 hour", null=True, blank=True)
    output = _per_million("output")
    per_request = NanoDollarsField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(HIGHEST, TOO_HIGH)],
        help_text="US dollars, fixed, a request.",
    )
    source = models.CharField(max_length=100, default="operator")
    precision = models.CharField(
        max_length=16, choices=PricePrecision, default=PricePrecision.EXACT
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                "model",
                "effective_from",
                name="price_once_per_instant",
                violation_error_message="This model already has a price from that instant on.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d}"


class PriceTier(Versioned):
    """A price's rates for long contexts: they are those of the whole request once its input, cached
    or not, is more than `above` tokens."""

    price = models.ForeignKey(Price, on_delete=models.CASCADE, related_name="tiers")
    above = models.PositiveIntegerField(
        "above", help_text="Input tokens, cached ones included.", validators=[MinValueValidator(1)]
    )
    uncached_input = _per_million("input")
    cache_read = _per_million("cache read", null=True, blank=True)
    cache_write_5m = _per_million("cache write, 5 minutes", null=True, blank=True)
    cache_write_1h = _per_million("cache write, 1 hour", null=True, blank=True)
    output = _per_million("output")

    class Meta:
        ordering = ["above"]
        verbose_name = "long-context rate"
        constraints = [
            models.UniqueConstraint(
                "price",
                "above",
                name="price_tier_once",
                violation_error_message="This price already has rates above that many tokens.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.price}, above {self.above:,} tokens"
