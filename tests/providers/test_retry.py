"""What comes after each class of failure, in each situation: one row each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.failures import Failure, FailureClass
from providers.retry import (
    LONGEST_WAIT,
    Again,
    GiveUp,
    NextCandidate,
    OtherCredential,
    Situation,
    Step,
    after,
)

AGAIN, ROTATE, NEXT, STOP = Again(0.075), OtherCredential(), NextCandidate(), GiveUp()
FRESH = Situation(retries=0, max_retries=2, backoff_ms=150, other_credential=False)
# Another credential is there; the retries are spent; both.
RICH = replace(FRESH, other_credential=True)
SPENT = replace(FRESH, retries=2)
RICH_SPENT = replace(SPENT, other_credential=True)
# The class, and what comes next when fresh, rich, spent, and both.
CLASSES: list[tuple[FailureClass, Step, Step, Step, Step]] = [
    (FailureClass.AUTH_INVALID, NEXT, ROTATE, NEXT, ROTATE),
    (FailureClass.AUTH_EXPIRED, NEXT, ROTATE, NEXT, ROTATE),
    (FailureClass.PERMISSION_DENIED, NEXT, NEXT, NEXT, NEXT),
    (FailureClass.RATE_LIMITED, AGAIN, ROTATE, NEXT, ROTATE),
    (FailureClass.QUOTA_EXCEEDED, NEXT, ROTATE, NEXT, ROTATE),
    (FailureClass.TRANSIENT_UPSTREAM, AGAIN, AGAIN, NEXT, NEXT),
    (FailureClass.PERMANENT_UPSTREAM, NEXT, NEXT, NEXT, NEXT),
    (FailureClass.CONTEXT_WINDOW_EXCEEDED, STOP, STOP, STOP, STOP),
    (FailureClass.CONTENT_POLICY_BLOCKED, STOP, STOP, STOP, STOP),
    (FailureClass.MALFORMED_RESPONSE, NEXT, NEXT, NEXT, NEXT),
    (FailureClass.NETWORK_UNAVAILABLE, AGAIN, AGAIN, NEXT, NEXT),
    (FailureClass.PROVIDER_TIMEOUT, NEXT, NEXT, NEXT, NEXT),
]


def _failure(failure_class: FailureClass, **fields: object) -> Failure:
    return replace(Failure(failure_class=failure_class, message="No."), **fields)  # type: ignore[arg-type]


def test_every_class_has_its_row() -> None:
    assert [row[0] for row in CLASSES] == list(FailureClass)


@pytest.mark.parametrize(
    ("failure_class", "situation", "step"),
    [
        pytest.param(row[0], situation, step, id=f"{row[0]}-{name}")
        for row in CLASSES
        for (name, situation), step in zip(
            {"fresh": FRESH, "rich": RICH, "spent": SPENT, "both": RICH_SPENT}.items(),
            row[1:],
            strict=True,
        )
    ],
)
def test_each_class_in_each_situation(
    failure_class: FailureClass, situation: Situation, step: Step
) -> None:
    assert after(_failure(failure_class), situation, chance=0.5) == step


RATE, DOWN, AUTH = (
    FailureClass.RATE_LIMITED,
    FailureClass.TRANSIENT_UPSTREAM,
    FailureClass.AUTH_INVALID,
)
HEADERS: list[tuple[str, Failure, Situation, Step]] = [
    ("a short wait is waited for", _failure(RATE, retry_after=3.0), RICH, Again(3.0)),
    ("so is one of a provider that is down", _failure(DOWN, retry_after=3.0), RICH, Again(3.0)),
    ("the longest that is", _failure(RATE, retry_after=10.0), FRESH, Again(10.0)),
    ("a longer one is not", _failure(RATE, retry_after=10.1), FRESH, NEXT),
    ("but for another credential", _failure(RATE, retry_after=10.1), RICH, ROTATE),
    ("which helps nothing that is down", _failure(DOWN, retry_after=10.1), RICH, NEXT),
    ("no wait at all still backs off", _failure(RATE, retry_after=0.0), FRESH, AGAIN),
    ("short, but the retries are spent", _failure(RATE, retry_after=1.0), SPENT, NEXT),
    ("and then another credential", _failure(RATE, retry_after=1.0), RICH_SPENT, ROTATE),
    ("more than patience is left", _failure(DOWN), replace(FRESH, patience=0.05), NEXT),
    ("the provider says no", _failure(DOWN, should_retry=False), FRESH, NEXT),
    ("of a limit, too", _failure(RATE, should_retry=False), RICH, ROTATE),
    ("the provider says yes", _failure(AUTH, should_retry=True), FRESH, AGAIN),
    ("yes, but another credential", _failure(AUTH, should_retry=True), RICH, ROTATE),
    ("the caller's fault", _failure(DOWN, callers_fault=True, should_retry=True), RICH, STOP),
    ("the caller's fault in a limit", _failure(RATE, callers_fault=True), RICH, STOP),
]


@pytest.mark.parametrize(
    ("failure", "situation", "step"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS]
)
def test_what_the_provider_says_of_trying_again(
    failure: Failure, situation: Situation, step: Step
) -> None:
    assert after(failure, situation, chance=0.5) == step


@pytest.mark.parametrize(
    ("retries", "chance", "seconds"),
    [(0, 0.5, 0.075), (1, 0.5, 0.15), (2, 0.5, 0.3), (0, 0.0, 0.0), (3, 0.999, 1.1988)],
)
def test_the_backoff_doubles_under_full_jitter(retries: int, chance: float, seconds: float) -> None:
    situation = replace(FRESH, retries=retries, max_retries=10)
    step = after(_failure(DOWN), situation, chance=chance)
    assert isinstance(step, Again)
    assert step.seconds == pytest.approx(seconds)


SITUATIONS = st.builds(
    Situation,
    retries=st.integers(0, 10),
    max_retries=st.integers(0, 10),
    backoff_ms=st.integers(1, 60_000),
    other_credential=st.booleans(),
    patience=st.floats(0, 20),
)
FAILURES = st.builds(
    Failure,
    failure_class=st.sampled_from(FailureClass),
    message=st.just("No."),
    callers_fault=st.booleans(),
    retry_after=st.none() | st.floats(0, 1e9),
    should_retry=st.none() | st.booleans(),
)


@given(FAILURES, SITUATIONS, st.floats(0, 1, exclude_max=True))
def test_no_wait_is_too_long_and_no_retry_too_many(
    failure: Failure, situation: Situation, chance: float
) -> None:
    step = after(failure, situation, chance=chance)
    if isinstance(step, Again):
        assert failure.retryable
        assert situation.retries < situation.max_retries
        assert (failure.retry_after or 0) <= step.seconds
        assert step.seconds <= min(LONGEST_WAIT, situation.patience)
    if isinstance(step, OtherCredential):
        assert situation.other_credential
    if failure.callers_fault:
        assert step == STOP
