"""Asking a host for its models, unless it was asked a few minutes ago."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from providers.diagnosis import Diagnosis, diagnose
from providers.discovery.listing import KeptListing, keep, kept_listing
from providers.failures import Failure, FailureClass
from providers.hosts import HostModels, list_models, with_transport
from providers.models import Provider, ProviderKind
from providers.registry import CredentialEntry, ProviderEntry, entry
from providers.transport import Transport

NO_HOST = Diagnosis(
    "A deterministic provider has no host to ask.", "Add its models by hand, on its page."
)
# Another credential may do where one is refused.
OF_THE_KEY = {
    FailureClass.AUTH_INVALID,
    FailureClass.AUTH_EXPIRED,
    FailureClass.PERMISSION_DENIED,
    FailureClass.RATE_LIMITED,
    FailureClass.QUOTA_EXCEEDED,
}


class DiscoveryFailed(Exception):
    """The host did not say which models it has; `diagnosis` says why and what to do."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(str(diagnosis))
        self.diagnosis = diagnosis


def discover(
    provider: Provider, *, refresh: bool = False, now: datetime | None = None
) -> KeptListing:
    """The models that the provider's host lists, at most five minutes old unless `refresh`. Blocks.

    Raises `DiscoveryFailed`; what was kept stays then.
    """
    if provider.kind == ProviderKind.DETERMINISTIC:
        raise DiscoveryFailed(NO_HOST)
    now = now or timezone.now()
    kept = kept_listing(provider)
    if kept is not None and kept.is_fresh(now) and not refresh:
        return kept
    known = entry(provider)
    outcome = with_transport(lambda transport: ask(known, transport))
    if isinstance(outcome, Failure):
        has_key, url = bool(known.credentials), f"{known.base_url}/models"
        raise DiscoveryFailed(diagnose(outcome, has_key=has_key, url=url))
    return keep(provider, outcome.models, is_complete=outcome.is_complete, now=now)


async def ask(provider: ProviderEntry, transport: Transport) -> HostModels | Failure:
    """All the host's models, with the first credential that does; else the first one's failure."""
    first: Failure | None = None
    credentials: tuple[CredentialEntry | None, ...] = provider.credentials or (None,)
    for credential in credentials:
        outcome = await list_models(provider, credential, transport)
        if isinstance(outcome, HostModels):
            return outcome
        first = first or outcome
        if outcome.failure_class not in OF_THE_KEY:
            break
    assert first is not None
    return first
