"""The words of the registry: kinds of providers, roles of models, tiers, and who said so."""

from __future__ import annotations

from django.db import models

AUTO = "auto"


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
