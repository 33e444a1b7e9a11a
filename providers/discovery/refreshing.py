"""Asking every host for its models, and saying what has changed since it was asked last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from providers.diagnosis import diagnose
from providers.discovery.asking import ask
from providers.discovery.listing import keep, kept_listing
from providers.failures import Failure
from providers.hosts import HostModels
from providers.models import Provider, ProviderKind
from providers.registry import ProviderEntry, entry
from providers.transport import Transport

logger = logging.getLogger(__name__)
# A few at a time, so that slow hosts keep no other waiting for long.
AT_ONCE = 4
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What was found of a provider, in words; empty if nothing is new."""

    provider: str
    words: str


def with_hosts() -> list[ProviderEntry]:
    """Every enabled provider that has a host to ask."""
    remote = Provider.objects.filter(enabled=True).exclude(kind=ProviderKind.DETERMINISTIC)
    return [entry(provider) for provider in remote.order_by("name")]


async def ask_all(
    providers: Iterable[ProviderEntry], transport: Transport
) -> list[tuple[ProviderEntry, HostModels | Failure]]:
    """What each host answered. One that cannot be asked at all is left out: the others are not."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(provider: ProviderEntry) -> tuple[ProviderEntry, HostModels | Failure] | None:
        async with turns:
            try:
                return provider, await ask(provider, transport)
            except Exception:
                logger.exception("%s could not be asked for its models.", provider.name)
                return None

    found = await asyncio.gather(*(one(provider) for provider in providers))
    return [answer for answer in found if answer is not None]


def record_all(
    answers: Iterable[tuple[ProviderEntry, HostModels | Failure]], now: datetime
) -> list[Refreshed]:
    """Keep what the hosts listed; what each one's listing has more and less than the one before."""
    return [
        Refreshed(provider.name, _failed(provider, answer))
        if isinstance(answer, Failure)
        else Refreshed(provider.name, _recorded(provider, answer, now))
        for provider, answer in answers
    ]


def _failed(provider: ProviderEntry, failure: Failure) -> str:
    url = f"{provider.base_url}/models"
    return str(diagnose(failure, has_key=bool(provider.credentials), url=url))


def _recorded(known: ProviderEntry, answer: HostModels, now: datetime) -> str:
    provider = Provider.objects.filter(pk=known.id).first()
    if provider is None:
        return ""  # It was deleted meanwhile.
    before = kept_listing(provider)
    listing = keep(provider, answer.models, is_complete=answer.is_complete, now=now)
    names = {one.id for one in listing.models}
    stored = {row.upstream_name or row.name: row.name for row in provider.models.all()}
    parts = []
    if before is not None:
        former = {one.id for one in before.models}
        parts += _part(sorted(names - former), "new")
        if listing.is_complete:
            parts += _part(sorted(former - names - stored.keys()), "no longer listed")
    if listing.is_complete:
        gone = sorted(name for upstream, name in stored.items() if upstream not in names)
        parts += _part(gone, "set up here and no longer listed")
    return f"{'; '.join(parts)}." if parts else ""


def _part(names: Sequence[str], words: str) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:MOST_NAMED])
    more = ", …" if len(names) > MOST_NAMED else ""
    return [f"{len(names):,} {words} ({shown}{more})"]
