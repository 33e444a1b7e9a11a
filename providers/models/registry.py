"""The registry: providers, their credentials and their models."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from providers.addresses import refuse_private_literal, validate_base_url
from providers.failures import FailureClass
from providers.models.secrets import Secret
from providers.versioned import Versioned

AUTO = "auto"
LONGEST_NAME = 200
MOST_ALIASES = 20
model_name = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$",
    "Use letters, digits and . _ : / @ + -, beginning with a letter or digit.",
)


def validate_aliases(value: Any) -> None:
    """Refuse what is not a short list of model names."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValidationError("Give a list of names.", code="aliases")
    if len(value) > MOST_ALIASES or len(set(value)) != len(value):
        raise ValidationError(f"Give at most {MOST_ALIASES} names, each once.", code="aliases")
    for alias in value:
        if len(alias) > LONGEST_NAME or alias == AUTO:
            raise ValidationError(f"“{alias}” cannot be a model's name.", code="aliases")
        model_name(alias)


class ProviderKind(models.TextChoices):
    """The wire protocol a provider speaks."""

    DETERMINISTIC = "deterministic", "Deterministic (no network, for rehearsals)"
    OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible"
    ANTHROPIC = "anthropic", "Anthropic"


class ModelRole(models.TextChoices):
    """What a model is for."""

    CHAT = "chat", "Chat"
    EMBEDDINGS = "embeddings", "Embeddings"
    AUDIO_TRANSCRIPTION = "audio_transcription", "Audio transcription"


# What each kind's protocol can do at all.
ROLES_OF_KIND = {
    ProviderKind.DETERMINISTIC: frozenset(ModelRole),
    ProviderKind.OPENAI_COMPATIBLE: frozenset(ModelRole),
    ProviderKind.ANTHROPIC: frozenset({ModelRole.CHAT}),
}


class CostTier(models.IntegerChoices):
    """How dear a model is among others; the smaller the cheaper."""

    LOW = 1, "Low"
    STANDARD = 2, "Standard"
    PREMIUM = 3, "Premium"


class LatencyTier(models.IntegerChoices):
    """How soon a model answers; the smaller the sooner."""

    FAST = 1, "Fast"
    STANDARD = 2, "Standard"
    SLOW = 3, "Slow"


class MetadataSource(models.TextChoices):
    """Who said what a model can do."""

    STATIC = "static", "Built in"
    DISCOVERY = "discovery", "Told by the host"
    OPERATOR = "operator_override", "Set by an operator"


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
        constraints = [
            models.CheckConstraint(
                name="provider_base_url_when_remote",
                condition=Q(kind=ProviderKind.DETERMINISTIC) | ~Q(base_url=""),
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.name

    def clean(self) -> None:
        deterministic = self.kind == ProviderKind.DETERMINISTIC
        if deterministic and self.base_url:
            raise ValidationError(
                {"base_url": "A deterministic provider makes no request; leave the address empty."}
            )
        if not deterministic and not self.base_url:
            raise ValidationError({"base_url": "A provider of this kind needs a base URL."})
        if self.base_url and not self.allow_private_base_url:
            refuse_private_literal(self.base_url)

    def validate_constraints(self, exclude: Any = None) -> None:
        """`clean` has said it of the field, so the constraint does not say it again."""
        super().validate_constraints(exclude={*(exclude or ()), "base_url"})


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


class ProviderModel(Versioned):
    """A model as clients name it, and the provider that answers for it."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(
        max_length=200, validators=[model_name], help_text="What clients send as “model”."
    )
    upstream_name = models.CharField(
        max_length=200, blank=True, help_text="What the provider calls it, if different."
    )
    aliases = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_aliases],
        help_text="Other names that clients may send for it.",
    )
    role = models.CharField(max_length=32, choices=ModelRole, default=ModelRole.CHAT)
    enabled = models.BooleanField(default=True)
    is_default = models.BooleanField(
        "default", default=False, help_text="Used when a call asks for “auto”."
    )
    context_window = models.PositiveIntegerField(
        default=128_000, validators=[MinValueValidator(1)], help_text="Tokens, input and output."
    )
    max_output_tokens = models.PositiveIntegerField(
        default=4096,
        validators=[MinValueValidator(1)],
        help_text="The most a call may ask for; also what is held when it asks for nothing.",
    )
    streaming = models.BooleanField(default=True, help_text="Can answer in pieces.")
    tools = models.BooleanField(default=True, help_text="Can call tools.")
    json_mode = models.BooleanField("JSON", default=True, help_text="Can be held to JSON.")
    vision = models.BooleanField(default=False, help_text="Can look at images.")
    audio = models.BooleanField(default=False, help_text="Can listen.")
    cost_tier = models.PositiveSmallIntegerField(choices=CostTier, default=CostTier.STANDARD)
    latency_tier = models.PositiveSmallIntegerField(
        choices=LatencyTier, default=LatencyTier.STANDARD
    )
    metadata_source = models.CharField(
        max_length=32, choices=MetadataSource, default=MetadataSource.OPERATOR
    )

    class Meta:
        ordering = ["provider__name", "name"]
        constraints = [
            models.UniqueConstraint(
                "provider",
                "name",
                name="provider_model_once",
                violation_error_message="This provider already has a model of that name.",
            ),
            models.UniqueConstraint(
                fields=["role"],
                condition=Q(is_default=True),
                name="provider_model_one_default_per_role",
                violation_error_message="Another model is already the default for this role.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.name}"

    def clean(self) -> None:
        faults: dict[str, Any] = {}
        if (
            self.max_output_tokens
            and self.context_window
            and self.max_output_tokens > self.context_window
        ):
            faults["max_output_tokens"] = "The output cannot be larger than the context window."
        if self.name == AUTO:
            faults["name"] = "“auto” is the word for letting Palyra choose."
        if self.provider_id and self.role not in ROLES_OF_KIND[ProviderKind(self.provider.kind)]:
            faults["role"] = (
                f"A provider of the kind {self.provider.get_kind_display()} has no such models."
            )
        if faults:
            raise ValidationError(faults)
