"""Providers, the credentials they are called with, and when a call goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from providers.addresses import refuse_private_literal, validate_base_url
from providers.failures import FailureClass
from providers.models.choices import ROLES_OF_KIND, ModelRole, ProviderKind
from providers.models.secrets import Secret
from providers.versioned import Versioned

STORED_KEYS = (
    "The stored credentials were given for another host and must not be sent to this one: disable "
    "or replace them first."
)


class Provider(Versioned):
    """A host of models: how it is reached and with which credential."""

    name = models.SlugField(unique=True, help_text="Short and stable, for example openai.")
    display_name = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=32, choices=ProviderKind)
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[validate_base_url],
        help_text="Up to and with the version, for example https://api.openai.com/v1.",
    )
    allow_private_base_url = models.BooleanField(
        "allow private addresses",
        default=False,
        help_text="Let the base URL lead to this machine or a private network, as for Ollama.",
    )
    enabled = models.BooleanField(default=True)
    connect_timeout = models.FloatField(
        default=5.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(60)],
        help_text="Seconds to wait for a connection.",
    )
    first_token_timeout = models.FloatField(
        default=30.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(900)],
        help_text="Seconds a streamed answer may take to begin.",
    )
    total_timeout = models.FloatField(
        default=60.0,
        validators=[MinValueValidator(0.5), MaxValueValidator(900)],
        help_text="Seconds for a whole answer.",
    )
    max_retries = models.PositiveSmallIntegerField(
        default=2,
        validators=[MaxValueValidator(10)],
        help_text="How often a failed attempt is repeated here before another provider is tried.",
    )
    retry_backoff_ms = models.PositiveIntegerField(
        "retry backoff",
        default=150,
        validators=[MinValueValidator(1), MaxValueValidator(60_000)],
        help_text="Milliseconds before the first retry; doubled for each one after it.",
    )
    breaker_threshold = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Failures in a row that stop calls for a while.",
    )
    breaker_cooldown = models.FloatField(
        default=30.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(3600)],
        help_text="Seconds until one call is let through to see whether it is well again.",
    )
    concurrency_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        default=4,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="Calls under way at once, over all processes; empty for no limit.",
    )
    credential_concurrency_limit = models.PositiveIntegerField(
        "concurrency limit per credential",
        null=True,
        blank=True,
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="Calls under way at once with each credential; empty for no limit.",
    )
    output_cap_field = models.CharField(
        max_length=32,
        blank=True,
        choices=[
            ("max_tokens", "max_tokens"),
            ("max_completion_tokens", "max_completion_tokens"),
        ],
        help_text="The field this host obeys as the output's limit; empty to go by its address.",
    )
    cache_seconds = models.PositiveIntegerField(
        "answers kept for",
        default=30,
        validators=[MaxValueValidator(86_400)],
        help_text="Seconds in which the same team's same question gets the same answer; 0 never.",
    )
    rehearsal_latency_ms = models.PositiveIntegerField(
        "rehearsed latency",
        default=0,
        validators=[MaxValueValidator(600_000)],
        help_text="Deterministic only: milliseconds each answer takes.",
    )
    rehearsal_failure_percent = models.PositiveSmallIntegerField(
        "rehearsed failures",
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="Deterministic only: how many prompts in a hundred fail, always the same ones.",
    )
    rehearsal_failure_class = models.CharField(
        "rehearsed failure",
        max_length=32,
        choices=[(one.value, one.value.replace("_", " ").capitalize()) for one in FailureClass],
        default=FailureClass.TRANSIENT_UPSTREAM.value,
        help_text="Deterministic only: how they fail.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        permissions = [("operate_provider", "Can test a provider, trip and reset its breaker")]
        constraints = [
            models.CheckConstraint(
                name="provider_base_url_when_remote",
                condition=Q(kind=ProviderKind.DETERMINISTIC) | ~Q(base_url=""),
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.name

    def clean(self) -> None:
        faults = {
            "base_url": self._fault_of_address(),
            "kind": self._fault_of_kind(),
            "first_token_timeout": self._fault_of_timeouts(),
        }
        if any(faults.values()):
            raise ValidationError({field: fault for field, fault in faults.items() if fault})
        if self.base_url and not self.allow_private_base_url:
            refuse_private_literal(self.base_url)

    def _fault_of_address(self) -> str:
        if self.kind == ProviderKind.DETERMINISTIC:
            if self.base_url:
                return "A deterministic provider makes no request; leave the address empty."
            return ""
        if not self.base_url:
            return "A provider of this kind needs a base URL."
        return STORED_KEYS if self._would_send_keys_elsewhere() else ""

    def leads_elsewhere(self) -> bool:
        """Whether its address is of another host than the one stored, or is newly in clear."""
        if self._state.adding:
            return False
        stored = Provider.objects.filter(pk=self.pk).values_list("base_url", flat=True).first()
        return stored is not None and not _leads_to_the_same(stored, self.base_url)

    def _would_send_keys_elsewhere(self) -> bool:
        return self.leads_elsewhere() and self.credentials.filter(enabled=True).exists()

    def _fault_of_kind(self) -> str:
        if self._state.adding or self.kind not in ROLES_OF_KIND:
            return ""
        impossible = self.models.exclude(role__in=ROLES_OF_KIND[ProviderKind(self.kind)])
        roles = sorted({ModelRole(role).label.lower() for role in _roles_of(impossible)})
        if not roles:
            return ""
        return (
            f"This provider has models for {' and '.join(roles)}, which a provider of this kind "
            f"cannot have. Remove them first, or add another provider."
        )

    def _fault_of_timeouts(self) -> str:
        first, total = self.first_token_timeout, self.total_timeout
        if isinstance(first, (int, float)) and isinstance(total, (int, float)) and first > total:
            return "A streamed answer cannot take longer to begin than a whole answer may take."
        return ""

    def validate_constraints(self, exclude: Any = None) -> None:
        """`clean` has said it of the field, so the constraint does not say it again."""
        super().validate_constraints(exclude={*(exclude or ()), "base_url"})


def _roles_of(rows: models.QuerySet[Any]) -> Iterable[str]:
    return rows.order_by().values_list("role", flat=True).distinct()


def _leads_to_the_same(stored: str, given: str) -> bool:
    """Whether both addresses are of one host and port, and `given` is no less private."""
    before, after = _place(stored), _place(given)
    if after is None:
        return True  # It is no address and is not stored: `validate_base_url` says so.
    if before is None or (before[0], after[0]) == ("https", "http"):
        return False
    return before[1:] == after[1:]


def _place(base_url: str) -> tuple[str, str | None, int | None] | None:
    """Scheme, host and port; None of what is no address."""
    try:
        parts = urlsplit(base_url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        return None


class Credential(Versioned):
    """A secret that a provider is called with. A provider may have several, used in turn."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    secret = models.ForeignKey(Secret, on_delete=models.PROTECT, related_name="credentials")
    position = models.PositiveSmallIntegerField(default=0, help_text="The lowest is tried first.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["provider__name", "position", "pk"]
        constraints = [
            models.UniqueConstraint(
                "provider",
                "secret",
                name="credential_once",
                violation_error_message="This provider has that secret already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.secret} of {self.provider}"


class FailoverPolicy(Versioned):
    """One row: whether a call goes on at another provider when the one chosen fails it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    enabled = models.BooleanField(
        default=True, help_text="Go on at another provider that has a compatible model."
    )
    pinned = models.BooleanField(
        "also where a model was named",
        default=False,
        help_text="Go on at another model even where the caller named one.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "failover policy"
        constraints = [models.CheckConstraint(name="failover_policy_once", condition=Q(id=1))]

    def __str__(self) -> str:
        return "on" if self.enabled else "off"

    def clean(self) -> None:
        if self._state.adding and FailoverPolicy.objects.exists():
            raise ValidationError("There is one failover policy: change that one.")

    def validate_unique(self, exclude: Any = None) -> None:
        """`clean` has said that there is one."""


def failover_policy() -> FailoverPolicy:
    """The one policy; made with its defaults where nobody has changed it yet."""
    policy: FailoverPolicy = FailoverPolicy.objects.get_or_create(pk=1)[0]
    return policy
