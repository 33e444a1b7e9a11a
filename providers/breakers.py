"""The breakers of every provider and credential, as this process sees them and changes them.

Reading is from memory. A change is a compare-and-swap on the database's row, decided by the pure
`breaker` module, so that of all processes exactly one makes it; every process sees it within a
second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from providers.failures import Failure
from providers.registry import CredentialEntry, ProviderEntry


class Verdict(Enum):
    """Whether an attempt may be made now."""

    PASS = "pass"
    PROBE = "probe"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker at one instant; `retry_at` is when a probe may go through, if it is open."""

    verdict: Verdict
    retry_at: datetime | None = None
    message: str = ""


class BreakerBoard:
    """This process's view of all breakers. `start` before use, `stop` at the end."""

    def start(self) -> None:
        """Read the board, and begin to keep it fresh on a thread of its own."""
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def view(
        self, provider: ProviderEntry, credential: CredentialEntry | None, now: datetime
    ) -> BreakerView:
        """Whether an attempt may be made: PASS, PROBE if one may be claimed, or REFUSE."""
        raise NotImplementedError

    def usable(
        self, provider: ProviderEntry, now: datetime
    ) -> tuple[tuple[CredentialEntry | None, ...], str]:
        """The credentials to try now, closed breakers first and rotated from call to call, and in
        words why there are none (missing, unreadable, breaker open). A provider without credentials
        has the one None."""
        raise NotImplementedError

    async def claim_probe(
        self, provider: ProviderEntry, credential: CredentialEntry | None
    ) -> UUID | None:
        """The probe's id if this process may make it; None if another has it."""
        raise NotImplementedError

    def succeeded(
        self,
        provider: ProviderEntry,
        credential: CredentialEntry | None,
        probe: UUID | None = None,
    ) -> None:
        """Record an answer. Returns at once; free for a breaker that is closed and unharmed."""
        raise NotImplementedError

    def failed(
        self,
        provider: ProviderEntry,
        credential: CredentialEntry | None,
        failure: Failure,
        probe: UUID | None = None,
    ) -> None:
        """Record a failure that counts. Returns at once."""
        raise NotImplementedError

    async def settled(self) -> None:
        """Return once everything recorded so far is written (for tests and shutdown)."""
        raise NotImplementedError


def trip(provider_id: int, credential_ids: Iterable[int | None], *, by: str) -> None:
    """Open breakers by hand; they stay open until they are reset. Synchronous."""
    raise NotImplementedError


def reset(provider_id: int, credential_ids: Iterable[int | None]) -> None:
    """Close breakers by hand. Synchronous."""
    raise NotImplementedError
