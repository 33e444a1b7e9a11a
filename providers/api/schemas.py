"""Providers and models as the JSON API reads and writes them."""

from __future__ import annotations

from typing import Annotated

from ninja import Schema
from pydantic import AllowInfNan, Field, SecretStr, Strict, StrictBool, StrictInt

from providers.api.conventions import KEPT, Change, Input, Moment, described
from providers.models import ModelRole, Provider, ProviderKind, ProviderModel, Secret

LONGEST_SECRET = 8192

Kind = Annotated[str, described(ProviderKind.values)]
Role = Annotated[str, described(ModelRole.values)]
Seconds = Annotated[float, Strict(), AllowInfNan(False)]


class CredentialIn(Input):
    """Either a `secret` to store, or the `name` of one that is stored already."""

    name: str | None = Field(None, description="Uses the stored secret of that name.")
    secret: SecretStr | None = Field(
        None,
        max_length=LONGEST_SECRET,
        description="Stores this text, encrypted, under the provider's name; or in place of the "
        "provider's present credential. It is never given back.",
        json_schema_extra={"writeOnly": True},
    )


class CredentialOut(Schema):
    """A stored secret, as far as it is ever shown."""

    name: str
    last_four: str = Field(description="Empty for a short secret.")

    @classmethod
    def of(cls, secret: Secret) -> CredentialOut:
        return cls(name=secret.name, last_four=secret.last_four)


class ProviderIn(Input):
    """A new provider."""

    name: str = Field(description="Short and stable, for example openai.")
    display_name: str = ""
    kind: Kind
    base_url: str = Field("", description="Up to and with the version; empty if deterministic.")
    credential: CredentialIn | None = None
    enabled: StrictBool = True
    connect_timeout: Seconds = Field(5.0, description="Seconds to wait for a connection.")
    total_timeout: Seconds = Field(60.0, description="Seconds for a whole call.")
    rehearsal_latency_ms: StrictInt = 0
    rehearsal_failure_percent: StrictInt = 0


class ProviderChange(Change):
    """What to change of a provider; its name stays."""

    display_name: str = KEPT
    kind: Kind = KEPT
    base_url: str = KEPT
    credential: CredentialIn | None = Field(KEPT, description="null takes it away.")
    enabled: StrictBool = KEPT
    connect_timeout: Seconds = KEPT
    total_timeout: Seconds = KEPT
    rehearsal_latency_ms: StrictInt = KEPT
    rehearsal_failure_percent: StrictInt = KEPT


class ProviderOut(Schema):
    """A host of models: how it is reached and with which credential."""

    name: str
    display_name: str
    kind: Kind
    base_url: str
    credential: CredentialOut | None
    enabled: bool
    connect_timeout: float
    total_timeout: float
    rehearsal_latency_ms: int
    rehearsal_failure_percent: int
    created_at: Moment

    @classmethod
    def of(cls, provider: Provider) -> ProviderOut:
        return cls(
            name=provider.name,
            display_name=provider.display_name,
            kind=provider.kind,
            base_url=provider.base_url,
            credential=CredentialOut.of(provider.credential) if provider.credential else None,
            enabled=provider.enabled,
            connect_timeout=provider.connect_timeout,
            total_timeout=provider.total_timeout,
            rehearsal_latency_ms=provider.rehearsal_latency_ms,
            rehearsal_failure_percent=provider.rehearsal_failure_percent,
            created_at=provider.created_at,
        )


class ModelIn(Input):
    """A new model of a provider."""

    name: str = Field(description="What clients send as “model”.")
    upstream_name: str = Field("", description="What the provider calls it, if different.")
    role: Role = ModelRole.CHAT.value
    enabled: StrictBool = True
    is_default: StrictBool = Field(False, description="Used when a call asks for “auto”.")
    context_window: StrictInt = Field(128_000, description="Tokens, input and output.")
    max_output_tokens: StrictInt = Field(4096, description="The most a call may ask for.")


class ModelChange(Change):
    """What to change of a model."""

    name: str = KEPT
    upstream_name: str = KEPT
    role: Role = KEPT
    enabled: StrictBool = KEPT
    is_default: StrictBool = KEPT
    context_window: StrictInt = KEPT
    max_output_tokens: StrictInt = KEPT


class ModelOut(Schema):
    """A model as clients name it, and the provider that answers for it."""

    id: str
    provider: str
    name: str
    upstream_name: str = Field(description="What the provider calls it; empty if the same.")
    role: Role
    enabled: bool
    is_default: bool
    context_window: int
    max_output_tokens: int

    @classmethod
    def of(cls, model: ProviderModel) -> ModelOut:
        return cls(
            id=str(model.pk),
            provider=model.provider.name,
            name=model.name,
            upstream_name=model.upstream_name,
            role=model.role,
            enabled=model.enabled,
            is_default=model.is_default,
            context_window=model.context_window,
            max_output_tokens=model.max_output_tokens,
        )
