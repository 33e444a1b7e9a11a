"""Alerts, where they and what came of scheduled prompts are sent, and what became of sending."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from governance.models.teams import Team
from providers.identifiers import new_id
from providers.models import Secret


class AlertKind(models.TextChoices):
    """What an alert is about."""

    BUDGET_THRESHOLD = "budget_threshold", "Budget threshold reached"
    FORECAST = "forecast", "Forecast to exceed a budget"
    COST_SPIKE = "cost_spike", "Cost spike"
    MODEL_MIX = "model_mix", "Unusual model mix"
    PROVIDER_HEALTH = "provider_health", "Provider in trouble"
    ROUTING_OVERRIDE = "routing_override", "Routing overridden by a budget"
    OVERRUN = "overrun", "Cost beyond what was held"
    UNCONFIRMED_CALLS = "unconfirmed_calls", "Unconfirmed calls"
    STALE_PRICE = "stale_price", "Stale price"


class AlertSeverity(models.TextChoices):
    """How soon somebody should look."""

    INFO = "info", "For information"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


class Alert(models.Model):
    """Something somebody should know, once: `key` tells it from every other.

    It is open until it is no longer true (`resolved_at`) and may be acknowledged meanwhile.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=32, choices=AlertKind)
    severity = models.CharField(max_length=16, choices=AlertSeverity, default=AlertSeverity.WARNING)
    key = models.CharField(max_length=300)
    team = models.ForeignKey(
        Team,
        on_delete=models.CASCADE,
        null=True,
        related_name="alerts",
        help_text="Whose it is; nobody's in particular if empty.",
    )
    title = models.CharField(max_length=200)
    explanation = models.CharField(max_length=1000)
    detail = models.JSONField(default=dict)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)
    count = models.PositiveIntegerField("times seen", default=1)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True)
    muted_until = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-last_seen_at"]
        permissions = [("acknowledge_alert", "Can acknowledge, mute and resolve alerts")]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(resolved_at__isnull=True), name="alert_open_once"
            )
        ]

    def __str__(self) -> str:
        return self.title


class ChannelKind(models.TextChoices):
    """How a channel sends."""

    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"
    CONSOLE = "console", "In the console"


class ChannelFormat(models.TextChoices):
    """What a webhook is sent."""

    STANDARD = "standard", "Signed JSON"
    SLACK = "slack", "Slack"
    TEAMS = "teams", "Microsoft Teams"
    DISCORD = "discord", "Discord"


class ChannelPurpose(models.TextChoices):
    """What a channel is told of."""

    ALERTS = "alerts", "Alerts"
    RUNS = "runs", "Runs of scheduled prompts"
    BOTH = "both", "Alerts and runs"


class Channel(models.Model):
    """Where alerts and what came of scheduled prompts are sent: an address for mail, a webhook
    signed as Standard Webhooks say, a chat's webhook, or the console alone.

    Whoever knows the address of a chat's webhook may write there, so it is kept as secrets are, in
    `address`; `url` then says only which host it is.
    """

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=ChannelKind, default=ChannelKind.WEBHOOK)
    format = models.CharField(
        max_length=16,
        choices=ChannelFormat,
        default=ChannelFormat.STANDARD,
        db_default=ChannelFormat.STANDARD,
        help_text="Of a webhook: JSON that is signed, or messages as a chat takes them.",
    )
    purpose = models.CharField(
        "told of",
        max_length=16,
        choices=ChannelPurpose,
        default=ChannelPurpose.BOTH,
        db_default=ChannelPurpose.BOTH,
        help_text="Runs are told of where a scheduled prompt asks for it.",
    )
    team = models.ForeignKey(
        Team,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="channels",
        help_text="Only that team's alerts and runs; empty for all.",
    )
    recipients = models.JSONField(
        default=list, blank=True, help_text="E-mail addresses, for a channel of that kind."
    )
    url = models.URLField("address", max_length=500, blank=True)
    address = models.ForeignKey(
        Secret,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The whole address of a chat's webhook.",
    )
    secret = models.ForeignKey(
        Secret,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="What webhooks are signed with.",
    )
    allow_private_addresses = models.BooleanField(default=False)
    kinds = models.JSONField(
        default=list, blank=True, help_text="Which alerts; empty for every kind."
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_chat(self) -> bool:
        """Whether it is a chat's webhook, whose address is a secret and signs for itself."""
        return self.kind == ChannelKind.WEBHOOK and self.format != ChannelFormat.STANDARD


class DeliveryStatus(models.TextChoices):
    """Where a delivery stands."""

    PENDING = "pending", "Pending"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class Delivery(models.Model):
    """One message to one channel: sent until it is taken, or given up. Its id is the webhook's
    message id, the same on every attempt. `team` and `run_id` say what it tells of, if that is
    somebody's and a run."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey(
        Alert, on_delete=models.SET_NULL, null=True, related_name="deliveries"
    )
    team = models.ForeignKey(
        Team, on_delete=models.CASCADE, null=True, db_index=False, related_name="+"
    )
    run_id = models.UUIDField(null=True)
    event = models.CharField(max_length=64)
    body = models.JSONField(default=dict)
    status = models.CharField(max_length=16, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    tries = models.PositiveIntegerField(default=0)
    log = models.JSONField(default=list, help_text="Each try: when, what came back, how long.")
    next_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["next_at"], name="delivery_due", condition=Q(status="pending")),
            models.Index(fields=["-created_at"], name="delivery_latest"),
            models.Index(
                fields=["team", "-created_at"],
                name="delivery_of_team",
                condition=Q(team__isnull=False),
            ),
            models.Index(
                fields=["run_id"], name="delivery_of_run", condition=Q(run_id__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel}"

    @property
    def title(self) -> str:
        """What it says, in a line."""
        return str(self.body.get("data", {}).get("title", ""))
