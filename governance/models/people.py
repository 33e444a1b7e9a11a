"""What people set for themselves."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from governance.zones import validate_zone


class Preferences(models.Model):
    """How one person wants to be shown things; without a row, as their browser says."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="preferences",
    )
    zone = models.CharField(
        "time zone",
        max_length=64,
        blank=True,
        validators=[validate_zone],
        help_text="An IANA name such as Europe/Prague. Empty takes the browser's.",
    )

    class Meta:
        # Everybody has their own, and nobody another's.
        default_permissions = ()
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"preferences of {self.user}"
