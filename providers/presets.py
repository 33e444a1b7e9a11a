"""The usual hosts of models, so that adding one is: pick it, paste a key.

What is suggested of their models is what the hosts' own pages said in the autumn of 2026; discovery
brings it up to date, and an operator may always know better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from providers.credentials import store_secret
from providers.models import (
    CostTier,
    Credential,
    LatencyTier,
    MetadataSource,
    ModelRole,
    Provider,
    ProviderKind,
    ProviderModel,
    Secret,
)

LOW, STANDARD, PREMIUM = CostTier.LOW.value, CostTier.STANDARD.value, CostTier.PREMIUM.value
FAST, MIDDLING, SLOW = LatencyTier.FAST.value, LatencyTier.STANDARD.value, LatencyTier.SLOW.value
# The permissions it takes to add a host with its models, and to bring a key along.
ADDING = ("providers.add_provider", "providers.add_providermodel")
WITH_A_KEY = ("providers.add_credential", "providers.add_secret")
# What is written down is limited by the recording and not by tokens.
ANY_LENGTH = 128_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetModel:
    """A model that a host is known to have. Sizes are tokens."""

    name: str
    role: str = ModelRole.CHAT.value
    context_window: int
    max_output_tokens: int
    streaming: bool = True
    tools: bool = True
    json_mode: bool = True
    vision: bool = False
    audio: bool = False
    cost_tier: int = STANDARD
    latency_tier: int = MIDDLING


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A host: how it is reached, and where its key comes from. Timeouts are seconds.

    A `base_url` with braces is a pattern that the operator completes.
    """

    key: str
    display_name: str
    kind: str
    base_url: str
    key_from: str
    needs_credential: bool = True
    allow_private: bool = False
    output_cap_field: str = ""
    first_token_timeout: float = 30.0
    total_timeout: float = 60.0
    models: tuple[PresetModel, ...] = ()

    @property
    def needs_base_url(self) -> bool:
        """Whether the operator must say where it is."""
        return "{" in self.base_url


def _embeddings(name: str, context_window: int, cost_tier: int = LOW) -> PresetModel:
    return PresetModel(
        name=name,
        role=ModelRole.EMBEDDINGS.value,
        context_window=context_window,
        max_output_tokens=1,
        streaming=False,
        tools=False,
        json_mode=False,
        cost_tier=cost_tier,
        latency_tier=FAST,
    )


def _transcription(name: str, context_window: int, max_output_tokens: int) -> PresetModel:
    return PresetModel(
        name=name,
        role=ModelRole.AUDIO_TRANSCRIPTION.value,
        context_window=context_window,
        max_output_tokens=max_output_tokens,
        streaming=False,
        tools=False,
        json_mode=False,
        audio=True,
        cost_tier=LOW,
        latency_tier=FAST,
    )


OPENAI_COMPATIBLE, ANTHROPIC = (
    ProviderKind.OPENAI_COMPATIBLE.value,
    ProviderKind.ANTHROPIC.value,
)
_ON_THIS_MACHINE: dict[str, Any] = {
    "kind": OPENAI_COMPATIBLE,
    "needs_credential": False,
    "allow_private": True,
    "output_cap_field": "max_tokens",
    # A model may have to be loaded first.
    "first_token_timeout": 120.0,
    "total_timeout": 300.0,
}

PRESETS: tuple[Preset, ...] = (
    Preset(
        key="openai",
        display_name="OpenAI",
        kind=OPENAI_COMPATIBLE,
        base_url="https://api.openai.com/v1",
        key_from="Make one at platform.openai.com, under “API keys”.",
        output_cap_field="max_completion_tokens",
        models=(
            PresetModel(
                name="gpt-5.4",
                context_window=1_050_000,
                max_output_tokens=128_000,
                vision=True,
            ),
            PresetModel(
                name="gpt-5.4-mini",
                context_window=400_000,
                max_output_tokens=128_000,
                vision=True,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
            PresetModel(
                name="gpt-5.4-nano",
                context_window=400_000,
                max_output_tokens=128_000,
                vision=True,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
            _embeddings("text-embedding-3-small", 8192),
            _embeddings("text-embedding-3-large", 8192),
            _transcription("gpt-4o-mini-transcribe", 16_000, 2000),
        ),
    ),
    Preset(
        key="anthropic",
        display_name="Anthropic",
        kind=ANTHROPIC,
        base_url="https://api.anthropic.com/v1",
        key_from="Make one at platform.claude.com, under “API keys”.",
        models=(
            PresetModel(
                name="claude-opus-5-5",
                context_window=1_000_000,
                max_output_tokens=128_000,
                vision=True,
                cost_tier=PREMIUM,
                latency_tier=SLOW,
            ),
            PresetModel(
                name="claude-sonnet-5-5",
                context_window=1_000_000,
                max_output_tokens=128_000,
                vision=True,
            ),
            PresetModel(
                name="claude-haiku-4-5",
                context_window=200_000,
                max_output_tokens=64_000,
                vision=True,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
        ),
    ),
    Preset(
        key="minimax",
        display_name="MiniMax",
        kind=ANTHROPIC,
        base_url="https://api.minimax.io/anthropic/v1",
        key_from="Make one at platform.minimax.io, in your account. In China the host is "
        "api.minimaxi.com.",
        models=(
            PresetModel(
                name="MiniMax-M2.7",
                context_window=204_800,
                max_output_tokens=65_536,
                cost_tier=LOW,
            ),
            PresetModel(
                name="MiniMax-M2.7-highspeed",
                context_window=204_800,
                max_output_tokens=65_536,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
        ),
    ),
    Preset(
        key="azure-openai",
        display_name="Azure OpenAI",
        kind=OPENAI_COMPATIBLE,
        base_url="https://{resource}.openai.azure.com/openai/v1",
        key_from="Copy one in the Azure portal, from the resource's “Keys and Endpoint”. Its "
        "models are named by your deployments.",
        output_cap_field="max_completion_tokens",
    ),
    Preset(
        key="openrouter",
        display_name="OpenRouter",
        kind=OPENAI_COMPATIBLE,
        base_url="https://openrouter.ai/api/v1",
        key_from="Make one at openrouter.ai, under “Keys”.",
        output_cap_field="max_tokens",
        models=(
            PresetModel(
                name="openai/gpt-5.4-mini",
                context_window=400_000,
                max_output_tokens=128_000,
                vision=True,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
            PresetModel(
                name="anthropic/claude-haiku-4.5",
                context_window=200_000,
                max_output_tokens=64_000,
                vision=True,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
        ),
    ),
    Preset(
        key="groq",
        display_name="Groq",
        kind=OPENAI_COMPATIBLE,
        base_url="https://api.groq.com/openai/v1",
        key_from="Make one at console.groq.com, under “API Keys”.",
        output_cap_field="max_completion_tokens",
        models=(
            PresetModel(
                name="openai/gpt-oss-120b",
                context_window=131_072,
                max_output_tokens=65_536,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
            PresetModel(
                name="llama-3.3-70b-versatile",
                context_window=131_072,
                max_output_tokens=32_768,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
            _transcription("whisper-large-v3-turbo", ANY_LENGTH, 4096),
        ),
    ),
    Preset(
        key="mistral",
        display_name="Mistral",
        kind=OPENAI_COMPATIBLE,
        base_url="https://api.mistral.ai/v1",
        key_from="Make one at console.mistral.ai, under “API keys”.",
        output_cap_field="max_tokens",
        models=(
            PresetModel(
                name="mistral-large-2512",
                context_window=262_144,
                max_output_tokens=32_768,
                vision=True,
            ),
            PresetModel(
                name="mistral-small-2603",
                context_window=262_144,
                max_output_tokens=32_768,
                vision=True,
                cost_tier=LOW,
                latency_tier=FAST,
            ),
            _embeddings("mistral-embed", 8192),
            _transcription("voxtral-mini-2602", 16_384, 4096),
        ),
    ),
    Preset(
        key="ollama",
        display_name="Ollama",
        base_url="http://localhost:11434/v1",
        key_from="Ollama asks for none. Its models are those you have pulled.",
        **_ON_THIS_MACHINE,
    ),
    Preset(
        key="vllm",
        display_name="vLLM",
        base_url="http://localhost:8000/v1",
        key_from="Only if vLLM was started with --api-key: then it is that one.",
        **_ON_THIS_MACHINE,
    ),
    Preset(
        key="lm-studio",
        display_name="LM Studio",
        base_url="http://localhost:1234/v1",
        key_from="LM Studio asks for none. Its models are those you have downloaded.",
        **_ON_THIS_MACHINE,
    ),
)
BY_KEY = {preset.key: preset for preset in PRESETS}


@transaction.atomic
def add_from_preset(
    preset: Preset,
    *,
    name: str = "",
    key: str = "",
    secret: Secret | None = None,
    base_url: str | None = None,
    models: Iterable[str] | None = None,
) -> Provider:
    """Add a provider as `preset` has it, with `key` stored in the vault or an existing `secret`.

    `models` are the names of those to add of the ones suggested: all, if None. Raises
    `ValidationError` with every fault, by field, and nothing is stored then.
    """
    address = (base_url or "").strip() or ("" if preset.needs_base_url else preset.base_url)
    faults: dict[str, Any] = {}
    provider = Provider(
        name=name.strip() or preset.key,
        display_name=preset.display_name,
        kind=preset.kind,
        base_url=address,
        allow_private_base_url=preset.allow_private,
        output_cap_field=preset.output_cap_field,
        first_token_timeout=preset.first_token_timeout,
        total_timeout=preset.total_timeout,
    )
    try:
        provider.full_clean()
    except ValidationError as error:
        faults |= error.error_dict
    if preset.needs_base_url and (not address or "{" in address):
        faults["base_url"] = (
            f"Say where it is: {preset.base_url}, with your own in place of the braces."
        )
    if preset.needs_credential and not key.strip() and secret is None:
        faults["key"] = f"{preset.display_name} wants a key. {preset.key_from}"
    known = {model.name for model in preset.models}
    wanted = known if models is None else set(models)
    if wanted - known:
        faults["models"] = f"Not among those suggested: {', '.join(sorted(wanted - known))}."
    if faults:
        raise ValidationError(faults)
    provider.save()
    _add_credential(provider, key, secret)
    _add_models(provider, [model for model in preset.models if model.name in wanted])
    return provider


def _add_credential(provider: Provider, key: str, secret: Secret | None) -> None:
    if key.strip():
        try:
            secret = store_secret(provider.name, key)
        except ValidationError as error:
            raise ValidationError({"key": error.messages}) from None
    if secret is not None:
        Credential.objects.create(provider=provider, secret=secret)


def _add_models(provider: Provider, suggested: Iterable[PresetModel]) -> None:
    """Store them; the first of a role that nothing had until now is the default."""
    for one in suggested:
        values = {field.name: getattr(one, field.name) for field in fields(one)}
        is_first = not ProviderModel.objects.filter(role=one.role).exists()
        model = ProviderModel(
            provider=provider,
            is_default=is_first,
            metadata_source=MetadataSource.STATIC,
            **values,
        )
        try:
            model.full_clean()
        except ValidationError as error:
            said = error.message_dict
            texts = [text for texts in said.values() for text in texts]
            raise ValidationError({"models": [f"{one.name}: {text}" for text in texts]}) from None
        model.save()
