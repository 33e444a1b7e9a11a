"""How a provider is doing, for people: credentials, breakers, the last probe; and its breakers' two
levers, trip and reset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from providers import breaker, breakers
from providers.breaker import Status, Verdict
from providers.models import Breaker, Credential, Provider, ProviderProbe
from providers.operated import operated
from providers.registry import CredentialEntry, entry

# Either lets somebody test a provider and use its levers; the first lets them do no more.
OPERATING = ("providers.operate_provider", "providers.change_provider")
STATUS_COLUMNS = tuple(Status.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerCondition:
    """The breaker of a credential, or, its name empty, of a provider that has none.

    `state` is `closed`, `open` or `half_open`; `lets` what it does with a call now: `pass`, `probe`
    (the next call finds out) or `refuse`. `says` is the same in words.
    """

    credential: str = ""
    state: str
    lets: str
    failures: int
    failure_class: str
    last_failure: str
    opened_at: datetime | None
    retry_at: datetime | None
    tripped_by: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialCondition:
    """Whether a credential can be sent; `fault` says why not."""

    name: str
    enabled: bool
    fault: str

    @property
    def usable(self) -> bool:
        """Whether calls may be made with it, as far as it is up to it."""
        return self.enabled and not self.fault


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCondition:
    """A provider as it is now."""

    provider: Provider
    credentials: tuple[CredentialCondition, ...]
    breakers: tuple[BreakerCondition, ...]
    probe: ProviderProbe | None

    @property
    def usable_credentials(self) -> int:
        """How many credentials calls may be made with."""
        return sum(one.usable for one in self.credentials)

    @property
    def lacks_credential(self) -> bool:
        """Whether it has credentials, of which none can be used."""
        return bool(self.credentials) and not self.usable_credentials

    @property
    def refuses(self) -> bool:
        """Whether no call gets through its breakers now."""
        return all(one.lets == Verdict.REFUSE.value for one in self.breakers)

    @property
    def is_well(self) -> bool:
        """Whether nothing is known against it: disabled ones are left out of account."""
        reached = self.probe is None or self.probe.checked_at is None or self.probe.ok
        return not self.provider.enabled or not (
            self.lacks_credential or self.refuses or not reached
        )


def conditions(providers: QuerySet[Provider], now: datetime) -> list[ProviderCondition]:
    """Each provider as it is at `now`, by name. Three queries, and one a provider."""
    rows = providers.select_related("probe").prefetch_related("breakers", "credentials__secret")
    return [_condition(row, now) for row in rows.order_by("name")]


def condition(provider: Provider, now: datetime) -> ProviderCondition:
    """One provider as it is at `now`."""
    return conditions(Provider.objects.filter(pk=provider.pk), now)[0]


def trouble(provider: Provider, now: datetime) -> str:
    """In a word or two what is known against a provider, as lists show it; nothing if nothing is.

    Reads its breakers, credentials and probe, which whoever lists providers has prefetched.
    """
    in_use = [one.pk for one in provider.credentials.all() if one.enabled]
    keys: list[int | None] = [*in_use] or [None]
    kept = {one.credential_id: one for one in provider.breakers.all()}
    found = [_breaker(kept.get(key), "", now) for key in keys]
    if all(one.lets == Verdict.REFUSE.value for one in found):
        return "Tripped by hand" if all(one.tripped_by for one in found) else "Held back"
    probe = getattr(provider, "probe", None)
    return "" if probe is None else looked_at(probe)


def looked_at(probe: ProviderProbe) -> str:
    """What the last look found amiss, in a word or two; nothing if nobody has looked yet."""
    if probe.checked_at is None or probe.ok:
        return ""
    return "Not reached" if probe.latency_ms is None else "Not with every key"


def trip(provider: Provider, *, by: str) -> None:
    """Take the provider out of use until it is reset: no call goes to it, none is lost."""
    with transaction.atomic(), _told(provider, "tripped"):
        breakers.trip(provider.pk, _credential_ids(provider) or [None], by=by)


def reset(provider: Provider) -> None:
    """Let calls through again, whatever was held against the provider."""
    with transaction.atomic(), _told(provider, "reset"):
        breakers.reset(provider.pk, [*_credential_ids(provider), None])


@contextmanager
def _told(provider: Provider, action: str) -> Iterator[None]:
    """Tell of what the block does to the provider's breakers."""
    before = _breaker_states(provider)
    yield
    changes = {"breakers": [before, _breaker_states(provider)]}
    operated.send(Provider, row=provider, action=action, changes=changes)


def _breaker_states(provider: Provider) -> list[str]:
    rows = Breaker.objects.filter(provider=provider).select_related("credential__secret")
    return [
        f"{row.credential.secret}: {row.get_state_display()}"
        if row.credential
        else row.get_state_display()
        for row in rows.order_by("pk")
    ]


def _credential_ids(provider: Provider) -> list[int | None]:
    return list(Credential.objects.filter(provider=provider).values_list("pk", flat=True))


def _condition(row: Provider, now: datetime) -> ProviderCondition:
    known = {one.id: one for one in entry(row).credentials}
    credentials = list(row.credentials.all())
    kept = {one.credential_id: one for one in row.breakers.all()}
    names: Iterable[tuple[int | None, str]] = [
        (one.pk, one.secret.name) for one in credentials if one.enabled
    ]
    return ProviderCondition(
        provider=row,
        credentials=tuple(_credential(one, known) for one in credentials),
        breakers=tuple(_breaker(kept.get(key), name, now) for key, name in names or [(None, "")]),
        probe=getattr(row, "probe", None),
    )


def _credential(row: Credential, known: Mapping[int, CredentialEntry]) -> CredentialCondition:
    found = known.get(row.pk)
    fault = breakers.unreadable(found) if found is not None else ""
    return CredentialCondition(name=row.secret.name, enabled=row.enabled, fault=fault)


def _breaker(row: Breaker | None, credential: str, now: datetime) -> BreakerCondition:
    status = Status() if row is None else Status(**{n: getattr(row, n) for n in STATUS_COLUMNS})
    view = breaker.view(status, now)
    return BreakerCondition(
        credential=credential,
        state=status.state,
        lets=view.verdict.value,
        failures=status.failures,
        failure_class=status.failure_class,
        last_failure=status.message,
        opened_at=status.opened_at,
        retry_at=status.retry_at,
        tripped_by=status.tripped_by,
        says=_says(status, view),
    )


def _says(status: Status, view: breaker.BreakerView) -> str:
    if view.verdict is Verdict.PASS:
        if not status.failures:
            return "Calls go through."
        return f"Calls go through; failed in a row: {status.failures}."
    if view.verdict is Verdict.PROBE:
        return "Held back until now: the next call finds out whether it is well again."
    return view.message


def breaker_words(provider: Provider, now: datetime) -> tuple[str, bool]:
    """What the provider's breakers do with calls now, in a word or two, and whether calls go
    through. Reads what `trouble` reads."""
    in_use = [one.pk for one in provider.credentials.all() if one.enabled]
    keys: list[int | None] = [*in_use] or [None]
    kept = {one.credential_id: one for one in provider.breakers.all()}
    lets = [_breaker(kept.get(key), "", now) for key in keys]
    refusing = [one for one in lets if one.lets == Verdict.REFUSE.value]
    if len(refusing) == len(lets):
        by_hand = all(one.tripped_by for one in lets)
        return ("Tripped by hand" if by_hand else "Open"), False
    if refusing:
        return f"{len(refusing)} of {len(lets)} open", True
    probing = any(one.lets == Verdict.PROBE.value for one in lets)
    return ("Half open" if probing else "Closed"), True
