"""A call's way through its candidates: every attempt and every skip, in its order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from providers.course import LATEST_BEGINNING, MOST_WAITED
from providers.failures import Failure, FailureClass
from providers.invocation import Attempt, invoke
from providers.requests import Answer
from tests.providers.fakes import Scene, failure
from tests.providers.invocation.calling import (
    ASKED_WRONG,
    BUSY,
    DOWN,
    GONE,
    WRONG_KEY,
    YES,
    call,
    failed,
    plan_of,
    request_to,
    story,
)

BROKE = failure(FailureClass.QUOTA_EXCEEDED)
SLOW = failure(FailureClass.PROVIDER_TIMEOUT, may_be_billed=True)


A_DOWN, A_YES, B_YES = failed("a", DOWN), ("a", "answered"), ("b", "answered")
# What each provider does, and the attempts that come of it. Neither has credentials.
PLAIN: list[tuple[str, dict[str, Any], list[tuple[str, ...]]]] = [
    ("it answers", {"a": YES}, [A_YES]),
    ("it answers the second time", {"a": [DOWN, YES]}, [A_DOWN, A_YES]),
    ("and the third", {"a": [DOWN, DOWN, YES]}, [A_DOWN, A_DOWN, A_YES]),
    ("then another is asked", {"a": DOWN, "b": YES}, [A_DOWN, A_DOWN, A_DOWN, B_YES]),
    ("at once if it will not be better", {"a": GONE, "b": YES}, [failed("a", GONE), B_YES]),
    ("or was too slow", {"a": SLOW, "b": YES}, [failed("a", SLOW), B_YES]),
    ("or the key is wrong", {"a": WRONG_KEY, "b": YES}, [failed("a", WRONG_KEY), B_YES]),
    ("a limit is waited out", {"a": [BUSY, YES]}, [failed("a", BUSY), A_YES]),
    (
        "but not for long",
        {"a": replace(BUSY, retry_after=60.0), "b": YES},
        [failed("a", BUSY), B_YES],
    ),
    (
        "another provider's retries are its own",
        {"a": DOWN, "b": [DOWN, YES]},
        [A_DOWN, A_DOWN, A_DOWN, failed("b", DOWN), B_YES],
    ),
    ("the caller's fault ends it", {"a": ASKED_WRONG, "b": YES}, [failed("a", ASKED_WRONG)]),
    (
        "wherever it is found",
        {"a": GONE, "b": ASKED_WRONG},
        [failed("a", GONE), failed("b", ASKED_WRONG)],
    ),
    ("nobody answers", {"a": GONE, "b": GONE}, [failed("a", GONE), failed("b", GONE)]),
]


@pytest.mark.parametrize(("script", "attempts"), [r[1:] for r in PLAIN], ids=[r[0] for r in PLAIN])
async def test_providers_without_credentials(
    scene: Scene, script: dict[str, Any], attempts: list[tuple[str, ...]]
) -> None:
    candidates = [request_to("a"), request_to("b")]
    made = await call(scene, *candidates, **script)
    assert story(made) == attempts
    assert made.request.model.provider.name == attempts[-1][0]
    last = scene.sent[-1].outcome
    assert made.outcome is last
    assert isinstance(last, Answer) == (attempts[-1][1] == "answered")


ROTATING: list[tuple[str, dict[str, Any], list[tuple[str, ...]]]] = [
    (
        "a wrong key is left for another",
        {"a": [WRONG_KEY, YES]},
        [failed("a", WRONG_KEY, "one"), ("a", "two", "answered")],
    ),
    (
        "as is one whose money is gone",
        {"a": [BROKE, YES]},
        [failed("a", BROKE, "one"), ("a", "two", "answered")],
    ),
    (
        "or whose limit is reached",
        {"a": [BUSY, YES]},
        [failed("a", BUSY, "one"), ("a", "two", "answered")],
    ),
    (
        "a short wait is waited for, with the same",
        {"a": [replace(BUSY, retry_after=1.0), YES]},
        [failed("a", BUSY, "one"), ("a", "one", "answered")],
    ),
    (
        "each key has retries of its own",
        {"a": [*[replace(BUSY, retry_after=1.0)] * 5, YES]},
        [
            *[failed("a", BUSY, "one")] * 3,
            *[failed("a", BUSY, "two")] * 2,
            ("a", "two", "answered"),
        ],
    ),
    (
        "what is down is not better with another key",
        {"a": DOWN, "b": YES},
        [*[failed("a", DOWN, "one")] * 3, ("b", "answered")],
    ),
    (
        "all keys first, then another provider",
        {"a": WRONG_KEY, "b": YES},
        [failed("a", WRONG_KEY, "one"), failed("a", WRONG_KEY, "two"), ("b", "answered")],
    ),
    (
        "the last key's limit is waited out before another provider is asked",
        {"a": BUSY, "b": YES},
        [failed("a", BUSY, "one"), *[failed("a", BUSY, "two")] * 3, ("b", "answered")],
    ),
]


@pytest.mark.parametrize(
    ("script", "attempts"), [r[1:] for r in ROTATING], ids=[r[0] for r in ROTATING]
)
async def test_a_provider_with_two_credentials(
    scene: Scene, script: dict[str, Any], attempts: list[tuple[str, ...]]
) -> None:
    # A breaker that takes more to open than any of these rows does.
    first = request_to("a", "one", "two", breaker_threshold=9)
    made = await call(scene, first, request_to("b"), **script)
    assert story(made) == attempts


async def test_retries_back_off_and_nothing_waits_for_another_provider(scene: Scene) -> None:
    await call(scene, request_to("a"), request_to("b"), a=DOWN, b=[DOWN, YES])
    assert scene.clock.waits == [0.075, 0.15, 0.075]


async def test_all_waits_of_a_call_together_are_bounded(scene: Scene) -> None:
    patient = replace(BUSY, retry_after=9.0)
    providers = [request_to(name, max_retries=10, breaker_threshold=99) for name in ("a", "b", "c")]
    made = await call(scene, *providers, a=patient, b=patient, c=patient)
    assert scene.clock.waits == [9.0, 9.0]
    assert sum(scene.clock.waits) <= MOST_WAITED
    assert [one.provider for one in made.attempts] == ["a", "a", "a", "b", "c"]


async def test_no_attempt_begins_when_the_caller_has_long_gone(scene: Scene) -> None:
    def slowly() -> Failure:
        scene.clock.passed += LATEST_BEGINNING / 2 + 1
        return SLOW

    names = ("a", "b", "c")
    made = await call(scene, *[request_to(name) for name in names], **dict.fromkeys(names, slowly))
    assert [one.provider for one in made.attempts] == ["a", "b"]


async def test_what_is_recorded_of_an_attempt(scene: Scene) -> None:
    def after_a_while() -> Failure:
        scene.clock.passed += 0.25
        return replace(SLOW, http_status=504)

    request = request_to("a", "one")
    made = await call(scene, request, request_to("b"), a=after_a_while, b=YES)
    assert made.attempts == (
        Attempt(
            provider="a",
            model="m",
            credential="one",
            outcome="failed",
            failure_class="provider_timeout",
            message="It failed.",
            http_status=504,
            latency_ms=250,
            may_be_billed=True,
        ),
        Attempt(provider="b", model="m", outcome="answered"),
    )
    assert made.billed == (request,)
    assert made.attempts[0].as_json()["latency_ms"] == 250


async def test_what_was_skipped_before_comes_first(scene: Scene) -> None:
    before = Attempt(provider="z", model="m", outcome="skipped", message="Held back.")
    scene.script["a"] = [YES]
    plan = replace(plan_of(request_to("a")), skipped=(before,))
    record: list[Attempt] = []
    made = await invoke(plan, scene.services, scene, pace=scene.clock.pace(), record=record)
    assert made.attempts[0] == before
    assert record == list(made.attempts)
