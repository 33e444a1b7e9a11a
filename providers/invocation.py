"""Making a call at its candidates: retries, failover, breakers, every attempt recorded.

`governance.calls` asks for it once the hold is durable, and is asked back (`Gate`) before an attempt
that was not held for: at another model or credential, or after one that may be billed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from providers.attempts import ChunkStream
from providers.registry import CredentialEntry
from providers.requests import ModelRequest, Outcome
from providers.services import ProviderServices

MESSAGE_LENGTH = 350


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one provider, as the ledger keeps it. `outcome` is `answered`, `failed`, `cut`
    (broke off after the first piece), `broken_off` (not waited for) or `skipped` (not tried)."""

    provider: str
    model: str
    credential: str = ""
    outcome: str
    failure_class: str = ""
    message: str = ""
    http_status: int | None = None
    latency_ms: int = 0
    first_token_ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For the ledger's row."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to try, in order. The first candidate was admitted, with `credential`.

    `skipped` records the candidates before it that were not tried.
    """

    candidates: tuple[ModelRequest, ...]
    credential: CredentialEntry | None
    skipped: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Entered:
    """The attempt may begin, with this credential (None where the provider has none)."""

    credential: CredentialEntry | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The attempt may not begin; `reason` is for people."""

    reason: str


class Gate(Protocol):
    """Lets attempts begin: every one is held for before its first byte is sent."""

    async def enter(
        self,
        request: ModelRequest,
        credentials: Sequence[CredentialEntry],
        billed: Sequence[ModelRequest],
    ) -> Entered | Refused:
        """Hold for `request` with one of `credentials`, in their order of preference (empty where
        the provider has none), and for the failed attempts `billed`, which the provider may bill.
        """


@dataclass(frozen=True, slots=True)
class Invocation:
    """How it went: the outcome of the last attempt, which request that was, and every attempt.

    `billed` are the requests of failed attempts that may be billed; where the outcome is a failure
    that may be, the last one is among them.
    """

    outcome: Outcome
    request: ModelRequest
    attempts: tuple[Attempt, ...]
    billed: tuple[ModelRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """A streamed answer whose first substance has come.

    `stream` gives every chunk from the first. Iterating to the end, and closing, record the
    attempt; `attempts()` gives all of them, the one under way as it stands.
    """

    stream: ChunkStream
    request: ModelRequest
    billed: tuple[ModelRequest, ...]

    def attempts(self) -> tuple[Attempt, ...]:
        raise NotImplementedError


async def invoke(plan: Plan, services: ProviderServices, gate: Gate) -> Invocation:
    """Make the call. Whatever providers do is an outcome; nothing is raised for it."""
    raise NotImplementedError


async def open_stream(
    plan: Plan, services: ProviderServices, gate: Gate
) -> OpenedStream | Invocation:
    """Begin a streamed call: failover is over when the first substance has come."""
    raise NotImplementedError
