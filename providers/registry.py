"""The registry as calls see it: providers and models, immutable, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Prefetch

from providers import vault
from providers.models import (
    AUTO,
    Credential,
    FailoverPolicy,
    ModelRole,
    Provider,
    ProviderModel,
    Secret,
)
from providers.references import ReferenceUnreadable, resolve

__all__ = [
    "AUTO",
    "CredentialEntry",
    "ModelEntry",
    "ProviderEntry",
    "Registry",
    "entry",
    "load",
    "read_secret",
]

# What an entry takes from its row as it is.
PROVIDER_COLUMNS = (
    "name",
    "kind",
    "allow_private_base_url",
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
)
MODEL_COLUMNS = (
    "name",
    "role",
    "context_window",
    "max_output_tokens",
    "is_default",
    "streaming",
    "tools",
    "json_mode",
    "vision",
    "audio",
    "cost_tier",
    "latency_tier",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialEntry:
    """One secret of a provider, ready to be sent; `fault` says why it cannot be, if it cannot."""

    id: int
    name: str
    secret: vault.SecretText | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """A provider, ready to be called. Times are seconds unless the name says otherwise.

    `credentials` are the enabled ones in their order; a provider may have none. A limit of None is
    no limit.
    """

    id: int
    name: str
    display_name: str
    kind: str
    base_url: str = ""
    credentials: tuple[CredentialEntry, ...] = ()
    allow_private_base_url: bool = False
    connect_timeout: float = 5.0
    first_token_timeout: float = 30.0
    total_timeout: float = 60.0
    max_retries: int = 2
    retry_backoff_ms: int = 150
    breaker_threshold: int = 3
    breaker_cooldown: float = 30.0
    concurrency_limit: int | None = None
    credential_concurrency_limit: int | None = None
    output_cap_field: str = ""
    cache_seconds: int = 30
    rehearsal_latency_ms: int = 0
    rehearsal_failure_percent: int = 0
    rehearsal_failure_class: str = "transient_upstream"

    @property
    def needs_credential(self) -> bool:
        """Whether credentials were given for it, so that calling it without one is a mistake."""
        return bool(self.credentials)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model that may be called, and its provider. Sizes are tokens."""

    id: int
    provider: ProviderEntry
    name: str
    upstream_name: str
    role: str
    context_window: int
    max_output_tokens: int
    is_default: bool = False
    aliases: tuple[str, ...] = ()
    streaming: bool = True
    tools: bool = True
    json_mode: bool = True
    vision: bool = False
    audio: bool = False
    cost_tier: int = 2
    latency_tier: int = 2

    @property
    def qualified_name(self) -> str:
        """`provider/model`, which names exactly one."""
        return f"{self.provider.name}/{self.name}"


@dataclass(frozen=True, slots=True)
class Registry:
    """Every enabled model of every enabled provider, by name."""

    models: tuple[ModelEntry, ...]
    failover: bool = True
    failover_pinned: bool = False
    _named: dict[tuple[str, str], tuple[ModelEntry, ...]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        named: dict[tuple[str, str], tuple[ModelEntry, ...]] = {}
        for model in self.models:
            key = (str(model.role), model.name)
            named[key] = (*named.get(key, ()), model)
        # Hosts of many makers name models `maker/model`, and the maker may be registered too.
        named |= {(str(model.role), model.qualified_name): (model,) for model in self.models}
        others: dict[tuple[str, str], tuple[ModelEntry, ...]] = {}
        for model in self.models:
            for alias in model.aliases:
                key = (str(model.role), alias)
                others[key] = (*others.get(key, ()), model)
        # A model of that very name is meant before one that has it as an alias.
        object.__setattr__(self, "_named", others | named)

    def find(self, name: str, role: str = ModelRole.CHAT) -> tuple[ModelEntry, ...]:
        """The models of that role that answer to `name`; empty if none does.

        A name counts before an alias, and `provider/model` is that provider's own model before it
        is another's model of that name.
        """
        return self._named.get((str(role), name), ())

    def default(self, role: str = ModelRole.CHAT) -> ModelEntry | None:
        """The model that `auto` stands for: the one marked so, else the only one, else none."""
        of_role = [model for model in self.models if model.role == role]
        marked = [model for model in of_role if model.is_default]
        if marked:
            return marked[0]
        return of_role[0] if len(of_role) == 1 else None


def load() -> Registry:
    """Read the registry from the database: three queries, and a decryption for each credential."""
    rows = (
        ProviderModel.objects.filter(enabled=True, provider__enabled=True)
        .select_related("provider")
        .prefetch_related(_enabled_credentials())
        .order_by("provider__name", "name")
    )
    policy = FailoverPolicy.objects.order_by("pk").first() or FailoverPolicy()
    return Registry(tuple(_entries(rows)), failover=policy.enabled, failover_pinned=policy.pinned)


def entry(provider: Provider) -> ProviderEntry:
    """One stored provider, enabled or not, ready to be tested or asked for its models."""
    rows = Credential.objects.filter(provider=provider, enabled=True)
    return _provider_entry(provider, rows.select_related("secret").order_by("position", "pk"))


def _enabled_credentials() -> Prefetch[Any]:
    return Prefetch(
        "provider__credentials",
        Credential.objects.filter(enabled=True).select_related("secret").order_by("position", "pk"),
        to_attr="enabled_credentials",
    )


def _entries(rows: Iterable[Any]) -> Iterable[ModelEntry]:
    providers: dict[int, ProviderEntry] = {}
    for row in rows:
        if row.provider_id not in providers:
            providers[row.provider_id] = _provider_entry(
                row.provider, row.provider.enabled_credentials
            )
        yield ModelEntry(
            id=row.pk,
            provider=providers[row.provider_id],
            upstream_name=row.upstream_name or row.name,
            aliases=tuple(row.aliases),
            **{name: getattr(row, name) for name in MODEL_COLUMNS},
        )


def _provider_entry(row: Provider, credentials: Iterable[Credential]) -> ProviderEntry:
    return ProviderEntry(
        id=row.pk,
        display_name=str(row),
        base_url=row.base_url.rstrip("/"),
        credentials=tuple(_credential_entry(one) for one in credentials),
        **{name: getattr(row, name) for name in PROVIDER_COLUMNS},
    )


def _credential_entry(row: Credential) -> CredentialEntry:
    secret, fault = None, ""
    try:
        secret = read_secret(row.secret)
    except (vault.VaultError, ReferenceUnreadable) as error:
        fault = str(error)
    return CredentialEntry(id=row.pk, name=row.secret.name, secret=secret, fault=fault)


def read_secret(row: Secret) -> vault.SecretText:
    """The text of a secret, wherever it is kept. Raises `VaultError` or `ReferenceUnreadable`."""
    if row.reference:
        return vault.SecretText(resolve(row.reference))
    return vault.decrypt(row.ciphertext)
