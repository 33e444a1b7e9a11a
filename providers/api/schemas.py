"""Models as the JSON API reads and writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import AllowInfNan, Field, Strict, StrictBool, StrictInt

from providers.api.conventions import KEPT, Change, Input, described
from providers.models import (
    CostTier,
    LatencyTier,
    MetadataSource,
    ModelRole,
    ProviderKind,
    ProviderModel,
)

Kind = Annotated[str, described(ProviderKind.values)]
Role = Annotated[str, described(ModelRole.values)]
Source = Annotated[str, described(MetadataSource.values)]
Seconds = Annotated[float, Strict(), AllowInfNan(False)]
Cost = Literal["low", "standard", "premium"]
Latency = Literal["fast", "standard", "slow"]

COST_WORDS: dict[int, Cost] = {
    CostTier.LOW.value: "low",
    CostTier.STANDARD.value: "standard",
    CostTier.PREMIUM.value: "premium",
}
LATENCY_WORDS: dict[int, Latency] = {
    LatencyTier.FAST.value: "fast",
    LatencyTier.STANDARD.value: "standard",
    LatencyTier.SLOW.value: "slow",
}
ALIASES = "Other names that clients may send for it."
LARGEST_OUTPUT = "The most a call may ask for; of no account for embeddings."
COST = "Which of several compatible models is tried first: the cheaper tier."
# Fields that are the same in the model's row.
PLAIN = (
    "name",
    "upstream_name",
    "aliases",
    "role",
    "enabled",
    "is_default",
    "context_window",
    "max_output_tokens",
    "streaming",
    "tools",
    "json_mode",
    "vision",
    "audio",
    "metadata_source",
)


class ModelIn(Input):
    """A new model of a provider."""

    name: str = Field(description="What clients send as “model”.")
    upstream_name: str = Field("", description="What the provider calls it, if different.")
    aliases: list[str] = Field([], description=ALIASES)
    role: Role = ModelRole.CHAT.value
    enabled: StrictBool = True
    is_default: StrictBool = Field(False, description="Used when a call asks for “auto”.")
    context_window: StrictInt = Field(128_000, description="Tokens, input and output.")
    max_output_tokens: StrictInt = Field(4096, description=LARGEST_OUTPUT)
    streaming: StrictBool = Field(True, description="Can answer in pieces.")
    tools: StrictBool = Field(True, description="Can call tools.")
    json_mode: StrictBool = Field(True, description="Can be held to JSON.")
    vision: StrictBool = Field(False, description="Can look at images.")
    audio: StrictBool = Field(False, description="Can listen.")
    cost_tier: Cost = Field("standard", description=COST)
    latency_tier: Latency = "standard"


class ModelChange(Change):
    """What to change of a model."""

    name: str = KEPT
    upstream_name: str = KEPT
    aliases: list[str] = Field(KEPT, description=ALIASES)
    role: Role = KEPT
    enabled: StrictBool = KEPT
    is_default: StrictBool = KEPT
    context_window: StrictInt = KEPT
    max_output_tokens: StrictInt = KEPT
    streaming: StrictBool = KEPT
    tools: StrictBool = KEPT
    json_mode: StrictBool = KEPT
    vision: StrictBool = KEPT
    audio: StrictBool = KEPT
    cost_tier: Cost = KEPT
    latency_tier: Latency = KEPT


class ModelOut(Schema):
    """A model as clients name it, and the provider that answers for it."""

    id: str
    provider: str
    name: str
    upstream_name: str = Field(description="What the provider calls it; empty if the same.")
    aliases: list[str]
    role: Role
    enabled: bool
    is_default: bool
    context_window: int
    max_output_tokens: int
    streaming: bool
    tools: bool
    json_mode: bool
    vision: bool
    audio: bool
    cost_tier: Cost
    latency_tier: Latency
    metadata_source: Source = Field(description="Who said last what it can do.")

    @classmethod
    def of(cls, model: ProviderModel) -> ModelOut:
        values: dict[str, Any] = {name: getattr(model, name) for name in PLAIN}
        return cls(
            id=str(model.pk),
            provider=model.provider.name,
            cost_tier=COST_WORDS[model.cost_tier],
            latency_tier=LATENCY_WORDS[model.latency_tier],
            **values,
        )


def row_values(given: dict[str, Any]) -> dict[str, Any]:
    """What was given of a model, as its row has it: tiers are numbers there."""
    values = dict(given)
    if values.get("cost_tier"):
        values["cost_tier"] = CostTier[values["cost_tier"].upper()].value
    if values.get("latency_tier"):
        values["latency_tier"] = LatencyTier[values["latency_tier"].upper()].value
    return values
