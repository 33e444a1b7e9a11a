"""How providers are doing, as far as every process must know: breakers, probes and metrics."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from providers.models.registry import Credential, Provider


class BreakerState(models.TextChoices):
    """Whether calls go through."""

    CLOSED = "closed", "Closed"
    OPEN = "open", "Open"
    HALF_OPEN = "half_open", "Half open"


class Breaker(models.Model):
    """The breaker of one provider's credential, or of a provider that has none.

    Not part of the snapshot: it changes with the weather. Changes are by compare-and-swap on
    `revision`, so that of all processes exactly one makes each.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="breakers")
    credential = models.ForeignKey(
        Credential, on_delete=models.CASCADE, null=True, blank=True, related_name="breakers"
    )
    state = models.CharField(max_length=16, choices=BreakerState, default=BreakerState.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="Failures in a row.")
    opened_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True, help_text="When a probe may go through.")
    probe = models.UUIDField(null=True, help_text="The probe under way.")
    probe_expires_at = models.DateTimeField(null=True)
    failure_class = models.CharField(max_length=32, blank=True)
    message = models.CharField(max_length=500, blank=True)
    tripped_by = models.CharField(max_length=150, blank=True, help_text="Who tripped it by hand.")
    revision = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["provider__name", "credential__position"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider"], condition=Q(credential=None), name="breaker_once"
            ),
            models.UniqueConstraint(
                fields=["credential"],
                condition=Q(credential__isnull=False),
                name="breaker_once_per_credential",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.get_state_display()}"


class ProviderProbe(models.Model):
    """What the last look at a provider found."""

    provider = models.OneToOneField(Provider, on_delete=models.CASCADE, related_name="probe")
    claimed_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    ok = models.BooleanField(default=False)
    latency_ms = models.PositiveIntegerField(null=True)
    failure_class = models.CharField(max_length=32, blank=True)
    message = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.provider}: {'reached' if self.ok else 'not reached'}"


class DiscoveryListing(models.Model):
    """The models a host listed when it was last asked."""

    provider = models.OneToOneField(Provider, on_delete=models.CASCADE, related_name="listing")
    fetched_at = models.DateTimeField()
    models_json = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"models of {self.provider}"


class ProviderMetric(models.Model):
    """What one hour's attempts at one model came to. Histograms count by bucket number."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="metrics")
    model = models.CharField(max_length=200)
    hour = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    failures = models.JSONField(default=dict, help_text="How many, by failure class.")
    latency = models.JSONField(default=dict, help_text="Answered attempts by latency's bucket.")
    first_token = models.JSONField(default=dict, help_text="Streams by first token's bucket.")
    output_tokens = models.PositiveBigIntegerField(default=0)
    answering_ms = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-hour", "provider__name", "model"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model", "hour"], name="provider_metric_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} at {self.hour:%Y-%m-%d %H:00}"
