"""The course of one call: which attempt is next, and what each one says of its provider."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.utils import timezone

from providers import retry
from providers.breakers import Verdict, unreadable
from providers.failures import Failure, FailureClass
from providers.plan import (
    ANSWERED,
    BROKEN_OFF,
    FAILED,
    SKIPPED,
    Attempt,
    Entered,
    Gate,
    Invocation,
    Plan,
    Refused,
)
from providers.registry import CredentialEntry
from providers.requests import ModelRequest, Outcome
from providers.retry import Again, GiveUp, OtherCredential, Situation
from providers.services import ProviderServices
from providers.usage import Usage

ResultT = TypeVar("ResultT")
# Together, over all retries of a call. Seconds.
MOST_WAITED = 20.0
# No attempt begins later than this after the call did, however many are left to try. Seconds.
LATEST_BEGINNING = 300.0
CLAIMED_ELSEWHERE = "Held back while another call finds out whether it is well again."


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes and chance falls; tests have their own."""

    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    seconds: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = timezone.now


REAL = Pace()


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt being made; `began` is by the pace's seconds."""

    request: ModelRequest
    credential: CredentialEntry | None
    probe: UUID | None
    began: float


@dataclass(slots=True)
class _Visit:
    """A stay at one candidate: what is held there now, and the credentials that were left.

    `again` is the attempt to be repeated, and to be held for anew. `turn` says that the provider's
    next credential is due: the call comes here for the first time.
    """

    request: ModelRequest
    held: Entered | None
    turn: bool
    again: Try | None = None
    left: set[CredentialEntry | None] = field(default_factory=set)
    retries: int = 0

    def leave(self, credential: CredentialEntry | None) -> None:
        """Try that credential no more."""
        self.left.add(credential)
        self.held, self.again, self.retries = None, None, 0

    def repeat(self, trying: Try, failure: Failure) -> None:
        """Try the same once more; an attempt that may be billed needs a hold of its own."""
        self.retries += 1
        if failure.may_be_billed:
            self.held, self.again = None, trying


class Course(Generic[ResultT]):
    """A call on its way through its candidates.

    `make` makes one attempt, and records it if it succeeds. `record` is given every attempt.
    """

    def __init__(
        self,
        plan: Plan,
        services: ProviderServices,
        gate: Gate,
        *,
        pace: Pace,
        make: Callable[[Course[ResultT], Try], Awaitable[ResultT | Failure]],
        record: list[Attempt],
    ) -> None:
        self.plan, self.services, self.gate, self.pace = plan, services, gate, pace
        self.make = make
        self.record = record
        self.record += plan.skipped
        self.billed: list[ModelRequest] = []
        self.failure: tuple[Failure, ModelRequest] | None = None
        self.skipped = ""
        self.waited, self.began = 0.0, pace.seconds()
        self.over = False

    async def run(self) -> ResultT | Invocation:
        """The first candidate's answer that there is, or how the last attempt failed."""
        for number, request in enumerate(self.plan.candidates):
            first = number == 0
            held = Entered(self.plan.credential) if first else None
            result = await self._stay(_Visit(request, held, turn=not first))
            if result is not None:
                return result
            if self.over or self._late():
                break
        return self._failed()

    async def _stay(self, visit: _Visit) -> ResultT | None:
        while (trying := await self._next_try(visit)) is not None:
            outcome = await self._made(trying)
            if not isinstance(outcome, Failure):
                return outcome
            self._note_failure(trying, outcome)
            if not await self._goes_on(visit, trying, outcome):
                break
        return None

    async def _made(self, trying: Try) -> ResultT | Failure:
        try:
            return await self.make(self, trying)
        except BaseException:
            # Cancelled, mostly. Nothing is known of the provider, so another may probe it.
            self.note(trying, BROKEN_OFF)
            self._give_back(trying)
            raise

    async def _next_try(self, visit: _Visit) -> Try | None:
        """The next attempt at this candidate, held for and let through by its breaker."""
        while visit.held is not None or await self._enter(visit):
            assert visit.held is not None
            credential = visit.held.credential
            probe, why = await self._let_through(visit.request, credential)
            if not why:
                return Try(visit.request, credential, probe, self.pace.seconds())
            self._skip(visit.request, credential, why)
            visit.leave(credential)
        return None

    async def _let_through(
        self, request: ModelRequest, credential: CredentialEntry | None
    ) -> tuple[UUID | None, str]:
        """The probe to be made if it is one, and in words why the attempt may not be made."""
        provider, breakers = request.model.provider, self.services.breakers
        if credential is not None and unreadable(credential):
            return None, unreadable(credential)
        view = breakers.view(provider, credential, self.pace.now())
        if view.verdict is Verdict.PASS:
            return None, ""
        if view.verdict is Verdict.REFUSE:
            return None, view.message
        probe = await breakers.claim_probe(provider, credential)
        return probe, "" if probe is not None else CLAIMED_ELSEWHERE

    async def _enter(self, visit: _Visit) -> bool:
        """Hold for an attempt with one of the credentials that are left."""
        credentials, why = self._usable(visit)
        if not credentials:
            if not visit.left:
                self._skip(visit.request, None, why)
            return False
        keys = [one for one in credentials if one is not None]
        verdict = await self.gate.enter(visit.request, keys, tuple(self.billed))
        if isinstance(verdict, Refused):
            self._skip(visit.request, None, verdict.reason)
            return False
        visit.held, visit.again = verdict, None
        return True

    def _usable(self, visit: _Visit) -> tuple[list[CredentialEntry | None], str]:
        if visit.again is not None:
            return [visit.again.credential], ""
        provider = visit.request.model.provider
        usable, why = self.services.breakers.usable(provider, self.pace.now(), turn=visit.turn)
        visit.turn = False
        return [one for one in usable if one not in visit.left], why

    async def _goes_on(self, visit: _Visit, trying: Try, failure: Failure) -> bool:
        """Do what is best done about a failure; whether to go on at this candidate."""
        provider = visit.request.model.provider
        others = [one for one in self._usable(visit)[0] if one != trying.credential]
        situation = Situation(
            retries=visit.retries,
            max_retries=provider.max_retries,
            backoff_ms=provider.retry_backoff_ms,
            other_credential=bool(others),
            patience=MOST_WAITED - self.waited,
        )
        step = retry.after(failure, situation, chance=self.pace.chance())
        if isinstance(step, OtherCredential):
            visit.leave(trying.credential)
        elif isinstance(step, Again):
            visit.repeat(trying, failure)
            self.waited += step.seconds
            await self.pace.sleep(step.seconds)
        self.over = isinstance(step, GiveUp)
        return isinstance(step, Again | OtherCredential) and not self._late()

    def answered(
        self, trying: Try, usage: Usage | None, *, first_token_ms: int | None = None
    ) -> None:
        """Record an attempt that gave a whole answer."""
        attempt = self.note(trying, ANSWERED, first_token_ms=first_token_ms)
        model = trying.request.model
        self.services.breakers.succeeded(model.provider, trying.credential, trying.probe)
        self.services.metrics.answered(
            model.provider.id,
            model.name,
            latency_ms=attempt.latency_ms,
            first_token_ms=first_token_ms,
            output_tokens=0 if usage is None else usage.output,
        )

    def speak_against(self, trying: Try, failure: Failure) -> None:
        """Count a failure, at the breaker and in the metrics."""
        model = trying.request.model
        self.services.metrics.failed(model.provider.id, model.name, failure.failure_class.value)
        if failure.counts:
            self.services.breakers.failed(model.provider, trying.credential, failure, trying.probe)
        else:
            self._give_back(trying)

    def note(
        self,
        trying: Try,
        outcome: str,
        failure: Failure | None = None,
        *,
        first_token_ms: int | None = None,
    ) -> Attempt:
        """Record how an attempt ended."""
        attempt = self.told(trying, outcome, failure, first_token_ms=first_token_ms)
        self.record.append(attempt)
        return attempt

    def told(
        self,
        trying: Try,
        outcome: str,
        failure: Failure | None = None,
        *,
        first_token_ms: int | None = None,
    ) -> Attempt:
        """An attempt as it stands at this moment."""
        attempt = _attempt(trying.request, trying.credential, outcome)
        attempt = replace(attempt, latency_ms=self.since(trying), first_token_ms=first_token_ms)
        return attempt if failure is None else _with_failure(attempt, failure)

    def since(self, trying: Try) -> int:
        """Milliseconds since an attempt began."""
        return round((self.pace.seconds() - trying.began) * 1000)

    def invocation(self, outcome: Outcome, request: ModelRequest) -> Invocation:
        """How it went, if that is how it ended."""
        return Invocation(outcome, request, tuple(self.record), tuple(self.billed))

    def _note_failure(self, trying: Try, failure: Failure) -> None:
        self.note(trying, FAILED, failure)
        self.speak_against(trying, failure)
        if failure.may_be_billed:
            self.billed.append(trying.request)
        self.failure = failure, trying.request

    def _give_back(self, trying: Try) -> None:
        if trying.probe is not None:
            provider = trying.request.model.provider
            self.services.breakers.given_back(provider, trying.credential, trying.probe)

    def _skip(self, request: ModelRequest, credential: CredentialEntry | None, reason: str) -> None:
        self.record.append(replace(_attempt(request, credential, SKIPPED), message=reason))
        self.skipped = self.skipped or reason

    def _late(self) -> bool:
        return self.pace.seconds() - self.began > LATEST_BEGINNING

    def _failed(self) -> Invocation:
        """How the last attempt failed; if there was none, why the first was not made."""
        if self.failure is not None:
            return self.invocation(*self.failure)
        nothing = Failure(
            failure_class=FailureClass.TRANSIENT_UPSTREAM,
            message=f"No provider could be tried. {self.skipped}",
        )
        return self.invocation(nothing, self.plan.candidates[0])


def _attempt(request: ModelRequest, credential: CredentialEntry | None, outcome: str) -> Attempt:
    return Attempt(
        provider=request.model.provider.name,
        model=request.model.name,
        credential="" if credential is None else credential.name,
        outcome=outcome,
    )


def _with_failure(attempt: Attempt, failure: Failure) -> Attempt:
    return replace(
        attempt,
        failure_class=failure.failure_class.value,
        message=failure.message,
        http_status=failure.http_status,
        may_be_billed=failure.may_be_billed,
    )
