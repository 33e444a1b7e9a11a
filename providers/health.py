"""Whether a provider can be reached: asked by a person, and every minute by itself.

A look at a provider is one question for its list of models with each of its credentials. Of all
processes one looks: a provider is claimed by a conditional update of its probe's row.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from providers.diagnosis import diagnose
from providers.failures import Failure
from providers.hosts import list_page, with_transport
from providers.models import Provider, ProviderKind, ProviderProbe
from providers.registry import CredentialEntry, ProviderEntry, entry
from providers.transport import Transport

logger = logging.getLogger(__name__)
PROBE_TTL = timedelta(seconds=60)
# Looked at together, so that a few slow hosts keep no other waiting for long.
AT_ONCE = 8
MESSAGE_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialTest:
    """How one credential fared; its name is empty where the provider has none.

    `cause` and `advice` say what went wrong and what to do; `said` is what the host itself said.
    `models` is how many models its first page lists, `has_more` whether others follow.
    """

    credential: str = ""
    ok: bool
    latency_ms: int
    failure_class: str = ""
    http_status: int | None = None
    cause: str = ""
    advice: str = ""
    said: str = ""
    models: int | None = None
    has_more: bool = False

    @property
    def listed(self) -> str:
        """How many models the host lists for this credential, in words; empty if it said none."""
        if self.models is None:
            return ""
        models = "1 model" if self.models == 1 else f"{self.models:,} models"
        return f"more than {models}" if self.has_more else models

    def __str__(self) -> str:
        lists = f" It lists {self.listed}." if self.listed else ""
        reached = f"Reached in {self.latency_ms} ms.{lists}"
        words = reached if self.ok else f"{self.cause} {self.advice}"
        return f"“{self.credential}”: {words}" if self.credential else words


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """What a look at a provider found, credential by credential."""

    provider: str
    results: tuple[CredentialTest, ...]

    @property
    def ok(self) -> bool:
        """Whether the provider can be reached with every credential."""
        return all(result.ok for result in self.results)

    @property
    def latency_ms(self) -> int | None:
        """The soonest answer's time; None if there was none."""
        return min((result.latency_ms for result in self.results if result.ok), default=None)

    @property
    def first_fault(self) -> CredentialTest | None:
        """The first credential that did not work."""
        return next((result for result in self.results if not result.ok), None)


async def test_connection(provider: ProviderEntry, transport: Transport) -> ConnectionTest:
    """Ask the host for its models with each credential at once. No tokens are spent."""
    if provider.kind == ProviderKind.DETERMINISTIC:
        return ConnectionTest(provider.name, (CredentialTest(ok=True, latency_ms=0),))
    credentials: tuple[CredentialEntry | None, ...] = provider.credentials or (None,)
    tests = (_test(provider, credential, transport) for credential in credentials)
    return ConnectionTest(provider.name, tuple(await asyncio.gather(*tests)))


async def _test(
    provider: ProviderEntry, credential: CredentialEntry | None, transport: Transport
) -> CredentialTest:
    started = time.monotonic()
    outcome = await list_page(provider, credential, transport)
    latency_ms = round((time.monotonic() - started) * 1000)
    name = "" if credential is None else credential.name
    if not isinstance(outcome, Failure):
        return CredentialTest(
            credential=name,
            ok=True,
            latency_ms=latency_ms,
            models=len(outcome.models),
            has_more=outcome.after is not None,
        )
    found = diagnose(outcome, has_key=credential is not None, url=f"{provider.base_url}/models")
    return CredentialTest(
        credential=name,
        ok=False,
        latency_ms=latency_ms,
        failure_class=outcome.failure_class.value,
        http_status=outcome.http_status,
        cause=found.cause,
        advice=found.advice,
        said=outcome.message,
    )


def check_now(provider: Provider) -> ConnectionTest:
    """Look at a provider at once, and keep what was found as its last probe. Blocks."""
    known = entry(provider)
    result = with_transport(lambda transport: test_connection(known, transport))
    if provider.kind != ProviderKind.DETERMINISTIC:
        ProviderProbe.objects.get_or_create(provider=provider)
        record(known, result, timezone.now())
    return result


def none_due(now: datetime) -> bool:
    """Whether every enabled remote provider was looked at within the minute."""
    return not _due(now).exists()


def claim_due(now: datetime) -> list[ProviderEntry]:
    """The enabled remote providers that nobody has looked at for a minute, claimed for the caller.

    Whoever dies with a claim keeps others from looking for that minute only.
    """
    return [entry(provider) for provider in _due(now).order_by("pk") if _claim(provider, now)]


def _due(now: datetime) -> QuerySet[Provider]:
    remote = Provider.objects.filter(enabled=True).exclude(kind=ProviderKind.DETERMINISTIC)
    return remote.filter(Q(probe=None) | Q(probe__claimed_at=None) | _stale("probe__", now))


def _stale(prefix: str, now: datetime) -> Q:
    return Q(**{f"{prefix}claimed_at__lte": now - PROBE_TTL})


def _claim(provider: Provider, now: datetime) -> bool:
    try:
        with transaction.atomic():
            ProviderProbe.objects.get_or_create(provider=provider)
    except IntegrityError:
        return False  # It was deleted a moment ago.
    free = ProviderProbe.objects.filter(Q(claimed_at=None) | _stale("", now), provider=provider)
    return free.update(claimed_at=now) == 1


async def look_at(
    providers: Iterable[ProviderEntry], transport: Transport
) -> list[tuple[ProviderEntry, ConnectionTest]]:
    """Test each, a few at a time. One that cannot be tested is left out: the others are not."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def look(provider: ProviderEntry) -> tuple[ProviderEntry, ConnectionTest] | None:
        async with turns:
            try:
                return provider, await test_connection(provider, transport)
            except Exception:
                logger.exception("%s could not be looked at.", provider.name)
                return None

    found = await asyncio.gather(*(look(provider) for provider in providers))
    return [one for one in found if one is not None]


def record(provider: ProviderEntry, result: ConnectionTest, now: datetime) -> None:
    """Keep what was found as the provider's last probe; it is next due in a minute."""
    fault = result.first_fault
    ProviderProbe.objects.filter(provider_id=provider.id).update(
        claimed_at=now,
        checked_at=now,
        ok=result.ok,
        latency_ms=result.latency_ms,
        failure_class="" if fault is None else fault.failure_class,
        message="" if fault is None else str(fault)[:MESSAGE_LENGTH],
    )
