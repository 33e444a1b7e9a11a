"""How many calls a provider, and each of its credentials, may have under way: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from providers.registry import CredentialEntry, ProviderEntry

# Said where a call finds no place.
BUSY = "It has as many calls under way as it may have."


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """Names one counter: a provider's, or that of one of its credentials."""

    provider_id: int
    credential_id: int | None = None


@dataclass(frozen=True, slots=True)
class LeaseOption:
    """A credential the call may be made with (None for a provider without), and its limit."""

    credential_id: int | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class LeaseDemand:
    """A place at a provider, with one of the credentials, which are in their order of preference.

    A limit of None is no limit. A call in the `background` gets no place while others wait for
    one; one that does wait says until when, `waits_until`.
    """

    provider_id: int
    limit: int | None
    options: tuple[LeaseOption, ...]
    background: bool = False
    waits_until: datetime | None = None

    @property
    def keys(self) -> tuple[LeaseKey, ...]:
        """Every counter that its choice depends on."""
        keys = [LeaseKey(self.provider_id)] if self.limit is not None else []
        keys += [
            LeaseKey(self.provider_id, option.credential_id)
            for option in self.options
            if option.limit is not None and option.credential_id is not None
        ]
        return tuple(keys)


@dataclass(frozen=True, slots=True)
class Lease:
    """What was given: a credential, and the counters that count the call."""

    credential_id: int | None
    keys: tuple[LeaseKey, ...]


def demand_for(
    provider: ProviderEntry,
    credentials: tuple[CredentialEntry | None, ...],
    *,
    background: bool = False,
    waits_until: datetime | None = None,
) -> LeaseDemand:
    """The place a call needs at `provider`, with one of the credentials that can be used now."""
    limit = provider.credential_concurrency_limit
    return LeaseDemand(
        provider.id,
        provider.concurrency_limit,
        tuple(
            LeaseOption(None, None) if one is None else LeaseOption(one.id, limit)
            for one in credentials
        ),
        background,
        waits_until,
    )


def lease(demand: LeaseDemand, in_use: Mapping[LeaseKey, int]) -> Lease | None:
    """The first option with room, both of its own and of the provider's; None if there is none."""
    provider = LeaseKey(demand.provider_id)
    if demand.limit is not None and in_use.get(provider, 0) >= demand.limit:
        return None
    taken = (provider,) if demand.limit is not None else ()
    for option in demand.options:
        if option.limit is None or option.credential_id is None:
            return Lease(option.credential_id, taken)
        key = LeaseKey(demand.provider_id, option.credential_id)
        if in_use.get(key, 0) < option.limit:
            return Lease(option.credential_id, (*taken, key))
    return None
