"""Presets and the failover policy as the JSON API reads and writes them."""

from __future__ import annotations

from ninja import Schema
from pydantic import Field, SecretStr, StrictBool

from providers.api.conventions import KEPT, Change, Input
from providers.api.provider_schemas import LONGEST_SECRET, NAMED
from providers.api.schemas import COST_WORDS, LATENCY_WORDS, Cost, Kind, Latency, Role
from providers.models import FailoverPolicy
from providers.presets import Preset, PresetModel


class PresetModelOut(Schema):
    """A model that the host is known to have."""

    name: str
    role: Role
    context_window: int
    max_output_tokens: int
    streaming: bool
    tools: bool
    json_mode: bool
    vision: bool
    audio: bool
    cost_tier: Cost
    latency_tier: Latency

    @classmethod
    def of(cls, model: PresetModel) -> PresetModelOut:
        return cls(
            name=model.name,
            role=model.role,
            context_window=model.context_window,
            max_output_tokens=model.max_output_tokens,
            streaming=model.streaming,
            tools=model.tools,
            json_mode=model.json_mode,
            vision=model.vision,
            audio=model.audio,
            cost_tier=COST_WORDS[model.cost_tier],
            latency_tier=LATENCY_WORDS[model.latency_tier],
        )


class PresetOut(Schema):
    """A usual host of models, ready to be added."""

    preset: str = Field(description="What it is asked for by.")
    display_name: str
    kind: Kind
    base_url: str = Field(description="A pattern to complete where it has braces.")
    needs_base_url: bool
    needs_credential: bool
    allow_private_base_url: bool
    where_from: str = Field(description="Where its credential comes from, in words.")
    models: list[PresetModelOut]

    @classmethod
    def of(cls, preset: Preset) -> PresetOut:
        return cls(
            preset=preset.key,
            display_name=preset.display_name,
            kind=preset.kind,
            base_url=preset.base_url,
            needs_base_url=preset.needs_base_url,
            needs_credential=preset.needs_credential,
            allow_private_base_url=preset.allow_private,
            where_from=preset.key_from,
            models=[PresetModelOut.of(model) for model in preset.models],
        )


class PresetList(Schema):
    """Every preset."""

    items: list[PresetOut]


class FromPresetIn(Input):
    """A provider as one of the presets has it."""

    preset: str
    name: str = Field("", description="Short and stable; the preset's, if left out.")
    base_url: str = Field("", description="The preset's, if left out.")
    secret: SecretStr | None = Field(
        None,
        max_length=LONGEST_SECRET,
        description="Its key, stored encrypted under the provider's name and never given back.",
        json_schema_extra={"writeOnly": True},
    )
    credential: str | None = Field(None, description=f"Instead of the key: {NAMED}")
    models: list[str] | None = Field(
        None, description="Which of the models suggested to add; all, if left out."
    )


class FailoverPolicyOut(Schema):
    """Whether a call goes on at another provider when the one chosen fails it."""

    enabled: bool
    pinned: bool = Field(description="Also where the caller named a model.")

    @classmethod
    def of(cls, policy: FailoverPolicy) -> FailoverPolicyOut:
        return cls(enabled=policy.enabled, pinned=policy.pinned)


class FailoverPolicyChange(Change):
    """What to change of the failover policy."""

    enabled: StrictBool = KEPT
    pinned: StrictBool = KEPT
