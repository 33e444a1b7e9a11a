"""What comes after a failed attempt: pure."""

from __future__ import annotations

from dataclasses import dataclass

from providers.failures import Action, Failure, FailureClass

# A provider that asks for a longer wait is not waited for. Seconds.
LONGEST_WAIT = 10.0
_STOPS = frozenset({Action.USER_ACTION, Action.FAIL_CLOSED})
# Another credential has a limit, an account or a validity of its own.
_ROTATES = frozenset({Action.ROTATE_CREDENTIAL, Action.REEVALUATE_BUDGET})


@dataclass(frozen=True, slots=True)
class Again:
    """The same attempt once more, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class OtherCredential:
    """The same provider with another of its credentials."""


@dataclass(frozen=True, slots=True)
class NextCandidate:
    """Another provider's model, if there is one."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing: every provider would say the same, or none may be asked."""


Step = Again | OtherCredential | NextCandidate | GiveUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """How far a call has come at one provider with one credential.

    `retries` were made already; `other_credential` says that there is another to try;
    `patience` is how many seconds the call may still spend on waiting.
    """

    retries: int
    max_retries: int
    backoff_ms: int
    other_credential: bool
    patience: float = LONGEST_WAIT


def after(failure: Failure, situation: Situation, *, chance: float) -> Step:
    """What to do next. `chance` is a random number in [0, 1) that spreads retries over time."""
    if failure.action in _STOPS:
        return GiveUp()
    if situation.other_credential and _asks_for_another(failure):
        return OtherCredential()
    seconds = wait(failure, situation, chance)
    if _repeatable(failure, situation) and seconds <= min(LONGEST_WAIT, situation.patience):
        return Again(seconds)
    # Its retries are spent, or the wait is too long: a limit is often one credential's alone.
    if situation.other_credential and failure.failure_class is FailureClass.RATE_LIMITED:
        return OtherCredential()
    return NextCandidate()


def _asks_for_another(failure: Failure) -> bool:
    if failure.failure_class is FailureClass.RATE_LIMITED:
        return failure.retry_after is None
    return failure.action in _ROTATES


def _repeatable(failure: Failure, situation: Situation) -> bool:
    return failure.retryable and situation.retries < situation.max_retries


def wait(failure: Failure, situation: Situation, chance: float) -> float:
    """Seconds until the next retry: the backoff, doubled each time, with full jitter, and no less
    than the provider asked for."""
    doubled = situation.backoff_ms / 1000 * 2.0**situation.retries
    return max(chance * min(doubled, LONGEST_WAIT), failure.retry_after or 0.0)
