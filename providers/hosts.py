"""Asking a host which models it has: the one question that costs no tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from django.utils import timezone

from providers.adapters.listing import ListedModel, Listing
from providers.attempts import ADAPTERS
from providers.failures import Failure, FailureClass
from providers.redaction import presentable
from providers.registry import CredentialEntry, ProviderEntry
from providers.transport import Limits, Transport, TransportFailed

# Whoever waits for this is a person, or a probe that comes again in a minute.
PATIENCE = 15.0
# Of all pages together: no more is asked for once there are so many, or it took so many seconds.
MOST_PAGES = 50
MOST_MODELS = 5000
LONGEST_LISTING = 60.0
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class HostModels:
    """The models a host lists; not complete if it has more pages than are read."""

    models: tuple[ListedModel, ...]
    is_complete: bool = True


def with_transport(errand: Callable[[Transport], Awaitable[ResultT]]) -> ResultT:
    """Do `errand` with a way out of its own, from where nothing else is asynchronous. Blocks."""

    async def run() -> ResultT:
        transport = Transport()
        try:
            return await errand(transport)
        finally:
            await transport.close()

    return asyncio.run(run())


async def list_page(
    provider: ProviderEntry,
    credential: CredentialEntry | None,
    transport: Transport,
    after: str | None = None,
) -> Listing | Failure:
    """The first page of the host's models, or the one that follows `after`."""
    adapter = ADAPTERS[provider.kind]
    if credential is not None and credential.fault:
        return Failure(failure_class=FailureClass.AUTH_INVALID, message=credential.fault)
    secret = None if credential is None else credential.secret
    limits = Limits.of(provider)
    limits = replace(limits, total=min(limits.total, PATIENCE))
    try:
        inbound = await transport.send(adapter.list_request(provider, secret, after), limits)
    except TransportFailed as error:
        return presentable(error.failure, credential)
    listing = adapter.listed(inbound, now=timezone.now())
    return presentable(listing, credential) if isinstance(listing, Failure) else listing


async def list_models(
    provider: ProviderEntry, credential: CredentialEntry | None, transport: Transport
) -> HostModels | Failure:
    """All the models that the host lists, page by page."""
    models: list[ListedModel] = []
    after: str | None = None
    clock = asyncio.get_running_loop().time
    until = clock() + LONGEST_LISTING
    for _ in range(MOST_PAGES):
        page = await list_page(provider, credential, transport, after)
        if isinstance(page, Failure):
            return page
        models += page.models
        # A host that names the same page again would be asked for ever.
        if page.after is None or page.after == after:
            return HostModels(tuple(models))
        if len(models) >= MOST_MODELS or clock() >= until:
            break
        after = page.after
    return HostModels(tuple(models), is_complete=False)
