"""The ledger: every call, what was held for it and what it cost; and the processes that hold."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from governance.models.dearest import DearestIndex
from governance.models.modes import RoutingMode
from governance.models.prices import Price
from governance.models.teams import ApiKey, Team
from providers.identifiers import new_id
from providers.models import Credential, ModelRole, Provider


class CallStatus(models.TextChoices):
    """Where a call stands in its journey."""

    IN_FLIGHT = "in_flight", "In flight"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    BLOCKED = "blocked", "Blocked by budget"
    UNCONFIRMED = "unconfirmed", "Unconfirmed"
    WAITING = "waiting", "Waiting for approval"
    DENIED = "denied", "Denied"


class Surface(models.TextChoices):
    """Where a call came in."""

    OPENAI = "openai", "OpenAI endpoint"
    SCHEDULE = "schedule", "Schedule"
    CONSOLE = "console", "Console"


class TaskClass(models.TextChoices):
    """What a call is for; decides how it is routed."""

    PRIMARY_INTERACTIVE = "primary_interactive", "Primary, interactive"
    BACKGROUND_AUTOMATION = "background_automation", "Background automation"
    AUXILIARY_SUMMARY = "auxiliary_summary", "Auxiliary: summary"
    AUXILIARY_RECALL = "auxiliary_recall", "Auxiliary: recall"
    AUXILIARY_CLASSIFICATION = "auxiliary_classification", "Auxiliary: classification"
    AUXILIARY_EXTRACTION = "auxiliary_extraction", "Auxiliary: extraction"
    AUXILIARY_VISION = "auxiliary_vision", "Auxiliary: vision"


class ModelCall(models.Model):
    """One row of the ledger. Amounts are nano-dollars; usage buckets are disjoint token counts."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="calls")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, related_name="calls")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # Scheduling is a room above this one, so its rows are known here by identifier only.
    job_id = models.UUIDField(null=True)
    run_id = models.UUIDField(null=True)
    session = models.CharField(max_length=128, blank=True, default="", db_default="")
    surface = models.CharField(max_length=16, choices=Surface)
    task_class = models.CharField(max_length=32, choices=TaskClass)
    # The database has these defaults too, for processes of the version before this one.
    role = models.CharField(
        max_length=32, choices=ModelRole, default=ModelRole.CHAT, db_default=ModelRole.CHAT
    )
    streamed = models.BooleanField(default=False, db_default=False)
    cached = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The answer was kept from a call just before; nothing was sent.",
    )
    requested_model = models.CharField(max_length=200)
    provider = models.CharField(max_length=50)
    model = models.CharField(max_length=200)
    routing_mode = models.CharField(
        max_length=16,
        choices=RoutingMode,
        default=RoutingMode.SUGGEST,
        db_default=RoutingMode.SUGGEST,
    )
    decision = models.JSONField("routing decision", default=dict)
    evaluations = models.JSONField("budget evaluations", default=list)
    holds = models.JSONField(default=list)
    leases = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        help_text="The counters that count it as under way.",
    )
    attempts = models.JSONField(default=list)

    status = models.CharField(max_length=16, choices=CallStatus, default=CallStatus.IN_FLIGHT)
    failure_class = models.CharField(max_length=32, blank=True)
    error = models.CharField(max_length=500, blank=True)
    owner = models.UUIDField(null=True)
    admitted_at = models.DateTimeField(db_index=True)
    expires_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)
    first_token_ms = models.PositiveIntegerField("first token", null=True)

    uncached_input_tokens = models.PositiveIntegerField(null=True)
    cache_read_tokens = models.PositiveIntegerField(null=True)
    cache_write_5m_tokens = models.PositiveIntegerField(null=True)
    cache_write_1h_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    usage_reported = models.BooleanField(
        default=False, help_text="The provider said so; otherwise the usage is an estimate."
    )
    price = models.ForeignKey(Price, on_delete=models.PROTECT, null=True, related_name="+")
    estimate_lower = models.BigIntegerField(null=True)
    estimate_expected = models.BigIntegerField(null=True)
    estimate_upper = models.BigIntegerField(null=True)
    token_bound = models.PositiveBigIntegerField(default=0)
    output_bound = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="What of the token bound is output."
    )
    # What is charged if nobody ever says what the call used.
    expected_input_tokens = models.PositiveIntegerField(default=0)
    expected_output_tokens = models.PositiveIntegerField(default=0)
    cost = models.BigIntegerField(null=True)
    compared_cost = models.BigIntegerField(
        null=True,
        help_text="What the same usage would have cost with the other choice: in a dry run with "
        "the model recommended, where routing is enforced with the default.",
    )
    overrun = models.BigIntegerField(
        default=0, db_default=0, help_text="What it cost beyond what was held for it."
    )

    class Meta:
        ordering = ["-admitted_at", "-id"]
        verbose_name = "call"
        permissions = [("use_playground", "Can send prompts from the playground")]
        indexes = [
            models.Index(fields=["team", "-admitted_at"], name="call_by_team"),
            models.Index(fields=["api_key", "-admitted_at"], name="call_by_key"),
            models.Index(
                fields=["session", "-admitted_at"],
                name="call_by_session",
                condition=~Q(session=""),
            ),
            models.Index(
                fields=["job_id", "-admitted_at"],
                name="call_by_job",
                condition=Q(job_id__isnull=False),
            ),
            models.Index(fields=["run_id"], name="call_by_run", condition=Q(run_id__isnull=False)),
            # What the console's list is narrowed by, each in the list's order.
            models.Index(fields=["status", "-admitted_at"], name="call_by_status"),
            models.Index(fields=["model", "-admitted_at"], name="call_by_model"),
            models.Index(fields=["provider", "-admitted_at"], name="call_by_provider"),
            models.Index(fields=["surface", "-admitted_at"], name="call_by_surface"),
            DearestIndex(fields=["-cost", "-id"], name="call_by_cost"),
            models.Index(
                fields=["user", "-admitted_at"],
                name="call_by_person",
                condition=Q(user__isnull=False),
            ),
            models.Index(fields=["-admitted_at"], name="call_from_cache", condition=Q(cached=True)),
            models.Index(
                fields=["owner", "expires_at"],
                name="call_in_flight",
                condition=Q(status=CallStatus.IN_FLIGHT),
            ),
            models.Index(
                fields=["admitted_at"],
                name="call_waiting",
                condition=Q(status=CallStatus.WAITING),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="call_in_flight_has_owner_and_expiry",
                condition=~Q(status=CallStatus.IN_FLIGHT)
                | Q(owner__isnull=False, expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def total_tokens(self) -> int | None:
        """Every bucket together; unknown is not zero."""
        buckets = (
            self.uncached_input_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
            self.output_tokens,
        )
        known = [bucket for bucket in buckets if bucket is not None]
        return sum(known) if known else None


class ProviderLease(models.Model):
    """How many calls are under way at a provider, or with one of its credentials.

    Only those that have a limit are counted. Each call names in `leases` the rows that count it.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="+")
    credential = models.ForeignKey(
        Credential, on_delete=models.CASCADE, null=True, related_name="+"
    )
    in_use = models.PositiveIntegerField(default=0)
    waited_for_until = models.DateTimeField(
        null=True, help_text="Until when calls in the foreground may wait for a place."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider"], condition=Q(credential=None), name="provider_lease_once"
            ),
            models.UniqueConstraint(
                fields=["credential"],
                condition=Q(credential__isnull=False),
                name="provider_lease_once_per_credential",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.in_use} under way at {self.credential or self.provider}"


class ProcessHeartbeat(models.Model):
    """A process that is alive: it beats every few seconds. Holds belong to one."""

    id = models.UUIDField(primary_key=True, editable=False)
    role = models.CharField(max_length=16)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["role", "host", "pid"]

    def __str__(self) -> str:
        return f"{self.role} {self.pid} on {self.host}"
