"""The registry as calls see it: providers and models, immutable, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from providers import vault
from providers.models import ModelRole, Provider, ProviderModel

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """A provider, ready to be called. Times are seconds.

    `credential_fault` says why the credential cannot be used, if it cannot.
    """

    id: int
    name: str
    display_name: str
    kind: str
    base_url: str = ""
    credential: vault.SecretText | None = None
    credential_fault: str = ""
    connect_timeout: float = 5.0
    total_timeout: float = 60.0
    rehearsal_latency_ms: int = 0
    rehearsal_failure_percent: int = 0


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

    @property
    def qualified_name(self) -> str:
        """`provider/model`, which names exactly one."""
        return f"{self.provider.name}/{self.name}"


@dataclass(frozen=True, slots=True)
class Registry:
    """Every enabled model of every enabled provider, by name."""

    models: tuple[ModelEntry, ...]
    _by_name: dict[str, tuple[ModelEntry, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, tuple[ModelEntry, ...]] = {}
        for model in self.models:
            by_name[model.name] = (*by_name.get(model.name, ()), model)
        # Last: hosts of many makers name models `maker/model`, and the maker may be registered too.
        by_name.update({model.qualified_name: (model,) for model in self.models})
        object.__setattr__(self, "_by_name", by_name)

    def find(self, name: str, role: str = ModelRole.CHAT) -> tuple[ModelEntry, ...]:
        """The models of that role that answer to `name`; empty if none does.

        `provider/model` is that provider's own model before it is another's model of that name.
        """
        return tuple(model for model in self._by_name.get(name, ()) if model.role == role)

    def default(self, role: str = ModelRole.CHAT) -> ModelEntry | None:
        """The model that `auto` stands for: the one marked so, else the only one, else none."""
        of_role = [model for model in self.models if model.role == role]
        marked = [model for model in of_role if model.is_default]
        if marked:
            return marked[0]
        return of_role[0] if len(of_role) == 1 else None


def load() -> Registry:
    """Read the registry from the database: one query, and a decryption for each provider."""
    rows = (
        ProviderModel.objects.filter(enabled=True, provider__enabled=True)
        .select_related("provider__credential")
        .order_by("provider__name", "name")
    )
    return Registry(tuple(_entries(rows)))


def _entries(rows: Iterable[ProviderModel]) -> Iterable[ModelEntry]:
    providers: dict[int, ProviderEntry] = {}
    for row in rows:
        if row.provider_id not in providers:
            providers[row.provider_id] = _provider_entry(row.provider)
        yield ModelEntry(
            id=row.pk,
            provider=providers[row.provider_id],
            name=row.name,
            upstream_name=row.upstream_name or row.name,
            role=row.role,
            context_window=row.context_window,
            max_output_tokens=row.max_output_tokens,
            is_default=row.is_default,
        )


def _provider_entry(row: Provider) -> ProviderEntry:
    credential, fault = None, ""
    if row.credential is not None:
        try:
            credential = vault.decrypt(row.credential.ciphertext)
        except vault.VaultError as error:
            fault = str(error)
    return ProviderEntry(
        id=row.pk,
        name=row.name,
        display_name=str(row),
        kind=row.kind,
        base_url=row.base_url.rstrip("/"),
        credential=credential,
        credential_fault=fault,
        connect_timeout=row.connect_timeout,
        total_timeout=row.total_timeout,
        rehearsal_latency_ms=row.rehearsal_latency_ms,
        rehearsal_failure_percent=row.rehearsal_failure_percent,
    )
