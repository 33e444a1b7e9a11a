"""Models as clients name them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from providers.models.choices import (
    AUTO,
    ROLES_OF_KIND,
    CostTier,
    LatencyTier,
    MetadataSource,
    ModelRole,
    ProviderKind,
)
from providers.models.registry import Provider
from providers.versioned import Versioned

LONGEST_NAME = 200
MOST_ALIASES = 20
# What a host or a preset tells of a model, and an operator may know better.
CAPABILITIES = frozenset(
    {
        "context_window",
        "max_output_tokens",
        "streaming",
        "tools",
        "json_mode",
        "vision",
        "audio",
    }
)
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
        try:
            model_name(alias)
        except ValidationError as error:
            # The field has a sentence of its own for the code of this one.
            raise ValidationError(f"“{alias}”: {error.message}", code="aliases") from None


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
        faults = {
            "name": self._fault_of_name(),
            "aliases": self._fault_of_aliases(),
            "max_output_tokens": self._fault_of_sizes(),
            "role": self._fault_of_role(),
        }
        if any(faults.values()):
            raise ValidationError({field: fault for field, fault in faults.items() if fault})

    def note_changes(self, fields: Iterable[str]) -> None:
        """Remember that a person said otherwise, if `fields` are among what a host tells."""
        if not CAPABILITIES.isdisjoint(fields):
            self.metadata_source = MetadataSource.OPERATOR

    def _provider(self) -> Provider | None:
        """The provider, which may not be stored yet."""
        return getattr(self, "provider", None)

    def _fault_of_name(self) -> str:
        if self.name == AUTO:
            return "“auto” is the word for letting Palyra choose."
        provider = self._provider()
        if provider is None or not self.name:
            return ""
        qualified = f"{provider.name}/{self.name}"
        others = ProviderModel.objects.exclude(pk=self.pk).exclude(aliases=[])
        for other in others.select_related("provider").only("name", "aliases", "provider__name"):
            if qualified in other.aliases:
                return f"“{qualified}” is another name of {other}. Take it away there first."
        return ""

    def _fault_of_aliases(self) -> str:
        provider = self._provider()
        own = {self.name, f"{provider.name}/{self.name}" if provider else self.name}
        for alias in self.aliases if isinstance(self.aliases, list) else ():
            if alias in own:
                return f"“{alias}” is this model's name already."
            host, slash, name = str(alias).partition("/")
            found = ProviderModel.objects.filter(provider__name=host, name=name)
            if slash and found.exclude(pk=self.pk).exists():
                return f"“{alias}” names a model of its own, and only that one."
        return ""

    def _fault_of_sizes(self) -> str:
        if self.role == ModelRole.EMBEDDINGS or not self.max_output_tokens:
            return ""
        if self.context_window and self.max_output_tokens > self.context_window:
            return "The output cannot be larger than the context window."
        return ""

    def _fault_of_role(self) -> str:
        provider = self._provider()
        if provider is None or provider.kind not in ROLES_OF_KIND:
            return ""
        if self.role in ROLES_OF_KIND[ProviderKind(provider.kind)]:
            return ""
        return f"A provider of the kind {provider.get_kind_display()} has no such models."
