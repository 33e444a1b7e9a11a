"""The registry of providers and their models, and the vault's secrets."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from providers import vault
from providers.addresses import validate_base_url
from providers.versioned import SnapshotVersion, Versioned

__all__ = ["ModelRole", "Provider", "ProviderKind", "ProviderModel", "Secret", "SnapshotVersion"]

model_name = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$",
    "Use letters, digits and . _ : / @ + -, beginning with a letter or digit.",
)


class ProviderKind(models.TextChoices):
    """The wire protocol a provider speaks."""

    DETERMINISTIC = "deterministic", "Deterministic (no network, for rehearsals)"
    OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible"


class ModelRole(models.TextChoices):
    """What a model is for."""

    CHAT = "chat", "Chat"


class Secret(Versioned):
    """A credential, encrypted with the vault's key; its text is never shown again."""

    name = models.SlugField(unique=True, help_text="How providers refer to it.")
    ciphertext = models.TextField(editable=False)
    last_four = models.CharField(max_length=4, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def set_text(self, text: str) -> None:
        """Encrypt `text` into this row; the caller saves it."""
        self.ciphertext = vault.encrypt(text)
        self.last_four = text[-4:] if len(text) >= 16 else ""  # noqa: PLR2004 - four of few is much


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
    credential = models.ForeignKey(
        Secret, on_delete=models.PROTECT, null=True, blank=True, related_name="providers"
    )
    enabled = models.BooleanField(default=True)
    connect_timeout = models.FloatField(
        default=5.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(60)],
        help_text="Seconds to wait for a connection.",
    )
    total_timeout = models.FloatField(
        default=60.0,
        validators=[MinValueValidator(0.5), MaxValueValidator(900)],
        help_text="Seconds for a whole call.",
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

    def validate_constraints(self, exclude: Any = None) -> None:
        """`clean` has said it of the field, so the constraint does not say it again."""
        super().validate_constraints(exclude={*(exclude or ()), "base_url"})


class ProviderModel(Versioned):
    """A model as clients name it, and the provider that answers for it."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(
        max_length=200, validators=[model_name], help_text="What clients send as “model”."
    )
    upstream_name = models.CharField(
        max_length=200, blank=True, help_text="What the provider calls it, if different."
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
        if self.name == "auto":
            faults["name"] = "“auto” is the word for letting Palyra choose."
        if faults:
            raise ValidationError(faults)
