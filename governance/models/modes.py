"""Routing modes, and what holds for the whole installation."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from providers.versioned import Versioned


class RoutingMode(models.TextChoices):
    """What a recommendation of another model does."""

    SUGGEST = "suggest", "Suggest: publish it, use the default"
    DRY_RUN = "dry_run", "Dry run: publish it and record what it would have cost"
    ENFORCED = "enforced", "Enforced: use it"


class GovernanceSettings(Versioned):
    """What holds where nothing nearer says otherwise. One row."""

    routing_mode = models.CharField(max_length=16, choices=RoutingMode, default=RoutingMode.SUGGEST)
    output_floor = models.PositiveIntegerField(
        default=256,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        help_text="Output tokens. A call whose budget pays for fewer is blocked, not shortened.",
    )
    price_stale_days = models.PositiveIntegerField(
        "prices are stale after",
        default=90,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="Days without a confirmation or a change.",
    )
    spike_factor = models.PositiveIntegerField(
        "a spike is",
        default=3,
        validators=[MinValueValidator(2), MaxValueValidator(1000)],
        help_text="Times the usual cost of an hour.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "governance settings"

    def __str__(self) -> str:
        return "Governance settings"

    def clean(self) -> None:
        if self._state.adding and GovernanceSettings.objects.exists():
            raise ValidationError("There is one row of settings: change that one.")


def governance_settings() -> GovernanceSettings:
    """The one row; made with its defaults where nobody has changed it yet."""
    row: GovernanceSettings | None = GovernanceSettings.objects.first()
    if row is None:
        row = GovernanceSettings.objects.get_or_create(pk=1)[0]
    return row
