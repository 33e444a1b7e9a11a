"""The breakers of every provider and credential, as this process sees them and changes them.

Reading is from memory. A change is a compare-and-swap on the database's row, decided by the pure
`breaker` module, so that of all processes exactly one makes it; every process sees it within a
second.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import IntegrityError, connection
from django.utils import timezone

from providers import breaker
from providers.breaker import PASSES, WELL, BreakerView, Settings, Status, Verdict
from providers.failures import Failure
from providers.identifiers import new_id
from providers.models import Breaker
from providers.registry import CredentialEntry, ProviderEntry

__all__ = ["BreakerBoard", "BreakerView", "Verdict", "reset", "trip"]

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.25
# Beyond the provider's own time limits: then a probe's process is taken to have died.
PROBE_MARGIN = timedelta(seconds=10)
MESSAGE_LENGTH = 500
TRIES = 2
STATUS_COLUMNS = tuple(Status.__dataclass_fields__)
ResultT = TypeVar("ResultT")
# The provider's and the credential's primary keys; the latter None for a provider without any.
Key = tuple[int, int | None]
Decision = Callable[[Status], Status | None]


@dataclass(frozen=True, slots=True)
class _Change:
    """A change to be made. The future has the status that it led to, None if it was not made."""

    key: Key
    decide: Decision
    future: Future[Status | None] = field(default_factory=Future)


class BreakerBoard:
    """This process's view of all breakers. `start` before use, `stop` at the end."""

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._view: dict[Key, Status] = {}
        self._queue: queue.SimpleQueue[_Change | Future[None] | None] = queue.SimpleQueue()
        self._unwritten: Counter[Key] = Counter()
        self._lock = threading.Lock()
        self._turns: Counter[int] = Counter()
        self._thread = threading.Thread(target=self._run, name="breakers", daemon=True)
        self._away = False

    @classmethod
    def as_stored(cls) -> Self:
        """A board as the database has it now, to be looked at once: it is not kept fresh."""
        board = cls()
        board._view = _read()
        return board

    def start(self) -> None:
        """Read the board, and begin to keep it fresh on a thread of its own."""
        self._thread.start()
        self.refresh()

    def stop(self) -> None:
        """Write what is recorded, and end the thread."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> None:
        """Read the board now, after writing what is recorded. Synchronous."""
        self._flushed().result()

    async def settled(self) -> None:
        """Return once everything recorded so far is written (for tests and shutdown)."""
        await asyncio.wrap_future(self._flushed())

    def view(
        self, provider: ProviderEntry, credential: CredentialEntry | None, now: datetime
    ) -> BreakerView:
        """Whether an attempt may be made: PASS, PROBE if one may be claimed, or REFUSE."""
        status = self._view.get(_key(provider, credential))
        return PASSES if status is None else breaker.view(status, now)

    def usable(
        self, provider: ProviderEntry, now: datetime, *, turn: bool = True
    ) -> tuple[tuple[CredentialEntry | None, ...], str]:
        """The credentials to try now, closed breakers first and rotated from call to call, and in
        words why there are none (missing, unreadable, breaker open). A provider without credentials
        has the one None. Without `turn` it is the same call's turn still."""
        ready: list[CredentialEntry | None] = [None]
        if provider.needs_credential:
            ready = [one for one in provider.credentials if not unreadable(one)]
            if not ready:
                return (), unreadable(provider.credentials[0])
        in_turn = self._rotated(ready, provider, turn)
        views = [self.view(provider, one, now) for one in in_turn]
        usable = tuple(
            one
            for wanted in (Verdict.PASS, Verdict.PROBE)
            for one, view in zip(in_turn, views, strict=True)
            if view.verdict is wanted
        )
        return usable, "" if usable else views[0].message

    def _rotated(
        self, credentials: list[CredentialEntry | None], provider: ProviderEntry, turn: bool
    ) -> list[CredentialEntry | None]:
        if len(credentials) == 1:
            return credentials
        first = self._turns[provider.id] % len(credentials)
        self._turns[provider.id] += turn
        return credentials[first:] + credentials[:first]

    async def claim_probe(
        self, provider: ProviderEntry, credential: CredentialEntry | None
    ) -> UUID | None:
        """The probe's id if this process may make it; None if another has it."""
        probe, now = new_id(), self._clock()
        lasts = timedelta(seconds=provider.connect_timeout + provider.total_timeout) + PROBE_MARGIN
        claim = partial(breaker.claimed, probe=probe, now=now, expires_at=now + lasts)
        change = self._change(_key(provider, credential), claim)
        try:
            status = await asyncio.wrap_future(change.future)
        except asyncio.CancelledError:
            # It may have been claimed all the same, and nobody will make it.
            self.given_back(provider, credential, probe)
            raise
        return probe if status is not None and status.probe == probe else None

    def succeeded(
        self,
        provider: ProviderEntry,
        credential: CredentialEntry | None,
        probe: UUID | None = None,
    ) -> None:
        """Record an answer. Returns at once; free for a breaker that is closed and unharmed."""
        key = _key(provider, credential)
        if probe is not None or self._unwritten[key] or self._harmed(key):
            self._change(key, lambda status: breaker.succeeded(status, probe))

    def failed(
        self,
        provider: ProviderEntry,
        credential: CredentialEntry | None,
        failure: Failure,
        probe: UUID | None = None,
    ) -> None:
        """Record a failure that counts. Returns at once."""
        key = _key(provider, credential)
        if probe is None and not self._unwritten[key] and not self._closed(key):
            return
        fail = partial(
            breaker.failed,
            settings=Settings(
                provider.breaker_threshold, timedelta(seconds=provider.breaker_cooldown)
            ),
            failure_class=failure.failure_class.value,
            message=failure.message[:MESSAGE_LENGTH],
            now=self._clock(),
            probe=probe,
        )
        self._change(key, fail)

    def given_back(
        self, provider: ProviderEntry, credential: CredentialEntry | None, probe: UUID
    ) -> None:
        """Record that a probe found out nothing: it was cancelled, or the caller was at fault.
        Returns at once."""
        self._change(_key(provider, credential), lambda status: breaker.given_back(status, probe))

    def _closed(self, key: Key) -> bool:
        return self._view.get(key, WELL).state == breaker.CLOSED

    def _harmed(self, key: Key) -> bool:
        """Whether an answer changes anything: one that began before it opened does not."""
        status = self._view.get(key, WELL)
        return status.state == breaker.CLOSED and not status.unharmed

    def _change(self, key: Key, decide: Decision) -> _Change:
        change = _Change(key, decide)
        with self._lock:
            self._unwritten[key] += 1
        self._queue.put(change)
        return change

    def _flushed(self) -> Future[None]:
        future: Future[None] = Future()
        self._queue.put(future)
        return future

    def _run(self) -> None:
        next_poll = time.monotonic() + POLL_SECONDS
        stopping = False
        while not stopping or not self._queue.empty():
            try:
                work = self._queue.get(timeout=max(0.0, next_poll - time.monotonic()))
            except queue.Empty:
                next_poll = time.monotonic() + POLL_SECONDS
                self._poll()
                continue
            if work is None:
                stopping = True
            elif isinstance(work, _Change):
                self._make(work)
            else:
                self._poll()
                work.set_result(None)
        connection.close()

    def _poll(self) -> None:
        """Read every breaker that is not well. If that cannot be, the last view stays."""
        read = self._in_database(_read)
        if read is not None:
            self._view = read

    def _make(self, change: _Change) -> None:
        """Make a change, unless nobody waits for it any more. One that cannot be written is lost:
        the next failure counts again, and a probe not heard of expires."""
        wanted = change.future.set_running_or_notify_cancel()
        swapped = self._in_database(lambda: _swap(change.key, change.decide)) if wanted else None
        if swapped is not None:
            self._view = {**self._view, change.key: swapped.status}
        with self._lock:
            self._unwritten[change.key] -= 1
            if not self._unwritten[change.key]:
                del self._unwritten[change.key]
        if wanted:
            change.future.set_result(swapped.status if swapped and swapped.agreed else None)

    def _in_database(self, work: Callable[[], ResultT]) -> ResultT | None:
        """What `work` gives, tried again once on a fresh connection; None if it cannot be had."""
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                result = work()
            except IntegrityError:
                return None  # The provider was deleted a moment ago, and its breakers with it.
            except Exception as error:
                # Whatever it was, this thread must not end: every breaker goes through it.
                connection.close()
                if not tries_left:
                    self._say_away(error)
            else:
                self._say_back()
                return result
        return None

    def _say_away(self, error: Exception) -> None:
        if not self._away:
            line = str(error).partition("\n")[0] or type(error).__name__
            logger.warning("Breakers stay as last seen; the database cannot be used: %s", line)
        self._away = True

    def _say_back(self) -> None:
        if self._away:
            logger.warning("Breakers are read and written again.")
        self._away = False


def unreadable(credential: CredentialEntry) -> str:
    """Why a credential cannot be sent, in words; empty if it can."""
    if credential.fault or credential.secret is not None:
        return credential.fault
    return f"The credential “{credential.name}” is missing."


def trip(provider_id: int, credential_ids: Iterable[int | None], *, by: str) -> None:
    """Open breakers by hand; they stay open until they are reset. Synchronous."""
    for credential_id in credential_ids:
        _swap((provider_id, credential_id), partial(breaker.tripped, by=by, now=timezone.now()))


def reset(provider_id: int, credential_ids: Iterable[int | None]) -> None:
    """Close breakers by hand. Synchronous."""
    for credential_id in credential_ids:
        _swap((provider_id, credential_id), lambda _: WELL)


@dataclass(frozen=True, slots=True)
class _Swapped:
    """A breaker's status after a change, and whether the change was agreed to."""

    status: Status
    agreed: bool


def _swap(key: Key, decide: Decision) -> _Swapped:
    """Change a breaker as `decide` says, of the status it truly has."""
    where: dict[str, Any] = {"provider_id": key[0], "credential_id": key[1]}
    rows = Breaker.objects.filter(**where)
    while True:
        row = rows.first()
        status = WELL if row is None else _status(row)
        wanted = decide(status)
        if wanted is None or wanted == status:
            return _Swapped(status, agreed=wanted is not None)
        if row is None:
            Breaker.objects.get_or_create(**where)
        elif rows.filter(revision=row.revision).update(
            **{name: getattr(wanted, name) for name in STATUS_COLUMNS},
            revision=row.revision + 1,
            updated_at=timezone.now(),
        ):
            return _Swapped(wanted, agreed=True)


def _read() -> dict[Key, Status]:
    rows = Breaker.objects.exclude(state=breaker.CLOSED, failures=0).order_by()
    return {(row.provider_id, row.credential_id): _status(row) for row in rows}


def _status(row: Breaker) -> Status:
    return Status(**{name: getattr(row, name) for name in STATUS_COLUMNS})


def _key(provider: ProviderEntry, credential: CredentialEntry | None) -> Key:
    return provider.id, None if credential is None else credential.id
