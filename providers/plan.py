"""What a call is to try and what became of it, and the gate that each attempt goes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from providers.registry import CredentialEntry
from providers.requests import ModelRequest, Outcome

ANSWERED, FAILED, CUT, BROKEN_OFF, SKIPPED = "answered", "failed", "cut", "broken_off", "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one provider, as the ledger keeps it. `outcome` is `answered`, `failed`, `cut`
    (broke off after the first piece), `broken_off` (not waited for) or `skipped` (not tried).
    `may_be_billed` is True where it failed, and the provider may have done the work."""

    provider: str
    model: str
    credential: str = ""
    outcome: str
    failure_class: str = ""
    message: str = ""
    http_status: int | None = None
    latency_ms: int = 0
    first_token_ms: int | None = None
    may_be_billed: bool = False

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
