"""Providers and their credentials as the JSON API reads and writes them."""

from __future__ import annotations

from typing import Any

from ninja import Schema
from pydantic import Field, SecretStr, StrictBool, StrictInt

from providers.api.conventions import KEPT, Change, Input, Moment
from providers.api.schemas import Kind, Seconds
from providers.models import Credential, Provider

LONGEST_SECRET = 8192
MOST_CREDENTIALS = 20
NAMED = "vault:name for a stored secret, env:NAME or file:/path for one that is kept elsewhere."
OTHERS_TOO = (
    "All of them, in the order they are used. What is not named is taken away; the secrets stay."
)
PRIVATE = "Whether the base URL may lead to this machine or a private network."
BEGINS_WITHIN = "Seconds a streamed answer may take to begin"
NO_LIMIT = "Calls under way at once, over all processes; null for no limit."
NO_LIMIT_EACH = "The same with each credential; null for no limit."
OUTPUT_CAP = "The field this host obeys as the output's limit; empty to go by its address."
# Fields that are the same in the provider's row.
PLAIN = (
    "name",
    "display_name",
    "kind",
    "base_url",
    "allow_private_base_url",
    "enabled",
    "connect_timeout",
    "first_token_timeout",
    "total_timeout",
    "max_retries",
    "retry_backoff_ms",
    "breaker_threshold",
    "breaker_cooldown",
    "concurrency_limit",
    "credential_concurrency_limit",
    "output_cap_field",
    "cache_seconds",
    "rehearsal_latency_ms",
    "rehearsal_failure_percent",
    "rehearsal_failure_class",
    "created_at",
)


class CredentialIn(Input):
    """Either a `secret` to store, or the `name` of one."""

    name: str | None = Field(None, description=NAMED)
    secret: SecretStr | None = Field(
        None,
        max_length=LONGEST_SECRET,
        description="Stores this text, encrypted, in place of the stored secret that stands here "
        "now, or under the provider's name. It is never given back.",
        json_schema_extra={"writeOnly": True},
    )
    enabled: StrictBool = True


class CredentialOut(Schema):
    """A secret that a provider is called with, as far as it is ever shown."""

    name: str = Field(description=NAMED)
    last_four: str = Field(description="Empty for a short secret, or one that is kept elsewhere.")
    enabled: bool

    @classmethod
    def of(cls, credential: Credential) -> CredentialOut:
        return cls(
            name=credential.secret.label,
            last_four=credential.secret.last_four,
            enabled=credential.enabled,
        )


class ProviderIn(Input):
    """A new provider."""

    name: str = Field(description="Short and stable, for example openai.")
    display_name: str = ""
    kind: Kind
    base_url: str = Field("", description="Up to and with the version; empty if deterministic.")
    allow_private_base_url: StrictBool = Field(False, description=PRIVATE)
    credentials: list[CredentialIn] = Field(
        [], max_length=MOST_CREDENTIALS, description="In the order they are used."
    )
    enabled: StrictBool = True
    connect_timeout: Seconds = Field(5.0, description="Seconds to wait for a connection.")
    first_token_timeout: Seconds | None = Field(
        None, description=f"{BEGINS_WITHIN}: 30, or the total if that is less, if left out."
    )
    total_timeout: Seconds = Field(60.0, description="Seconds for a whole answer.")
    max_retries: StrictInt = 2
    retry_backoff_ms: StrictInt = 150
    breaker_threshold: StrictInt = 3
    breaker_cooldown: Seconds = 30.0
    concurrency_limit: StrictInt | None = Field(4, description=NO_LIMIT)
    credential_concurrency_limit: StrictInt | None = Field(2, description=NO_LIMIT_EACH)
    output_cap_field: str = Field("", description=OUTPUT_CAP)
    cache_seconds: StrictInt = 30
    rehearsal_latency_ms: StrictInt = 0
    rehearsal_failure_percent: StrictInt = 0
    rehearsal_failure_class: str = "transient_upstream"

    def values(self) -> dict[str, Any]:
        """The fields, with what was left out filled in."""
        values = {name: getattr(self, name) for name in ProviderIn.model_fields}
        if self.first_token_timeout is None:
            values["first_token_timeout"] = min(30.0, self.total_timeout)
        return values


class ProviderChange(Change):
    """What to change of a provider; its name stays."""

    display_name: str = KEPT
    kind: Kind = KEPT
    base_url: str = Field(
        KEPT, description="Another host is refused while credentials for this one are enabled."
    )
    allow_private_base_url: StrictBool = Field(KEPT, description=PRIVATE)
    credentials: list[CredentialIn] = Field(
        KEPT, max_length=MOST_CREDENTIALS, description=OTHERS_TOO
    )
    enabled: StrictBool = KEPT
    connect_timeout: Seconds = KEPT
    first_token_timeout: Seconds = Field(KEPT, description=f"{BEGINS_WITHIN}.")
    total_timeout: Seconds = KEPT
    max_retries: StrictInt = KEPT
    retry_backoff_ms: StrictInt = KEPT
    breaker_threshold: StrictInt = KEPT
    breaker_cooldown: Seconds = KEPT
    concurrency_limit: StrictInt | None = Field(KEPT, description=NO_LIMIT)
    credential_concurrency_limit: StrictInt | None = Field(KEPT, description=NO_LIMIT_EACH)
    output_cap_field: str = Field(KEPT, description=OUTPUT_CAP)
    cache_seconds: StrictInt = KEPT
    rehearsal_latency_ms: StrictInt = KEPT
    rehearsal_failure_percent: StrictInt = KEPT
    rehearsal_failure_class: str = KEPT


class ProviderOut(Schema):
    """A host of models: how it is reached and with which credentials.

    Without `providers.view_credential`, `credentials` is empty.
    """

    name: str
    display_name: str
    kind: Kind
    base_url: str
    allow_private_base_url: bool
    credentials: list[CredentialOut]
    enabled: bool
    connect_timeout: float
    first_token_timeout: float
    total_timeout: float
    max_retries: int
    retry_backoff_ms: int
    breaker_threshold: int
    breaker_cooldown: float
    concurrency_limit: int | None
    credential_concurrency_limit: int | None
    output_cap_field: str
    cache_seconds: int
    rehearsal_latency_ms: int
    rehearsal_failure_percent: int
    rehearsal_failure_class: str
    created_at: Moment

    @classmethod
    def of(cls, provider: Provider, *, whole: bool) -> ProviderOut:
        credentials = provider.credentials.all() if whole else ()
        rows = sorted(credentials, key=lambda row: (row.position, row.pk))
        values: dict[str, Any] = {name: getattr(provider, name) for name in PLAIN}
        return cls(credentials=[CredentialOut.of(row) for row in rows], **values)
