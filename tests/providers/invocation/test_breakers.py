"""Breakers on a call's way, and probes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from providers.breakers import Verdict
from providers.course import CLAIMED_ELSEWHERE
from providers.failures import Failure, FailureClass
from providers.invocation import Attempt, Invocation, invoke
from providers.registry import CredentialEntry, ProviderEntry
from tests.providers.entries import chat_request, credential_entry, model_entry, provider_entry
from tests.providers.fakes import Scene, failure
from tests.providers.invocation.calling import (
    ASKED_WRONG,
    DOWN,
    GONE,
    YES,
    call,
    failed,
    plan_of,
    request_to,
    story,
)


def opened(scene: Scene, provider: ProviderEntry, credential: CredentialEntry | None) -> None:
    for _ in range(provider.breaker_threshold):
        scene.board.failed(provider, credential, DOWN)


async def test_an_open_breaker_is_passed_over(scene: Scene) -> None:
    second = request_to("b")
    opened(scene, second.model.provider, None)
    made = await call(scene, request_to("a"), second, request_to("c"), a=GONE, c=YES)
    assert story(made) == [failed("a", GONE), ("b", "skipped"), ("c", "answered")]
    assert made.attempts[1].message.startswith("Held back for a while after 3 failures in a row.")


async def test_a_credential_that_cannot_be_read_is_passed_over(scene: Scene) -> None:
    unreadable = credential_entry(name="lost", fault="The vault's key is another.")
    provider = provider_entry(name="b", credentials=(unreadable,))
    second = chat_request(model_entry(provider))
    made = await call(scene, request_to("a"), second, request_to("c"), a=GONE, c=YES)
    assert made.attempts[1].message == "The vault's key is another."
    assert [one.outcome for one in made.attempts] == ["failed", "skipped", "answered"]


async def test_a_breaker_that_opens_between_two_tries_ends_them(scene: Scene) -> None:
    first = request_to("a", "one", "two", breaker_threshold=1)
    made = await call(scene, first, a=[DOWN, YES])
    assert story(made) == [
        failed("a", DOWN, "one"),
        ("a", "one", "skipped"),
        ("a", "two", "answered"),
    ]


async def test_failures_are_counted_and_an_answer_clears_them(scene: Scene) -> None:
    request = request_to("a", breaker_threshold=4)
    provider = request.model.provider
    await call(scene, request, a=DOWN)
    assert scene.board._view[provider.id, None].failures == 3
    await call(scene, request, a=YES)
    assert scene.board._view[provider.id, None].failures == 0


@pytest.mark.parametrize("fault", [ASKED_WRONG, failure(FailureClass.CONTENT_POLICY_BLOCKED)])
async def test_what_does_not_speak_against_it_is_not_counted(scene: Scene, fault: Failure) -> None:
    request = request_to("a", breaker_threshold=1)
    await call(scene, request, a=fault)
    assert scene.board._view == {}


async def probed(scene: Scene, outcome: Any) -> tuple[Invocation, Verdict]:
    """A call that is the probe, with that outcome, and the breaker's verdict after it."""
    request = request_to("a", max_retries=0)
    opened(scene, request.model.provider, None)
    scene.clock.passed += 30
    made = await call(scene, request, a=outcome)
    return made, scene.board.view(request.model.provider, None, scene.clock.now()).verdict


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [(YES, Verdict.PASS), (DOWN, Verdict.REFUSE), (ASKED_WRONG, Verdict.PROBE)],
)
async def test_a_probe_closes_it_opens_it_or_leaves_it_to_another(
    scene: Scene, outcome: Any, verdict: Verdict
) -> None:
    made, seen = await probed(scene, outcome)
    assert len(made.attempts) == 1
    assert seen is verdict


async def test_a_probe_that_another_has_is_not_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken(*_: Any) -> None:
        return None

    monkeypatch.setattr(scene.board, "claim_probe", taken)
    made, _ = await probed(scene, YES)
    assert story(made) == [("a", "skipped")]
    assert made.attempts[0].message == CLAIMED_ELSEWHERE
    assert made.outcome == Failure(
        failure_class=FailureClass.TRANSIENT_UPSTREAM,
        message=f"No provider could be tried. {CLAIMED_ELSEWHERE}",
    )


async def test_a_probe_that_is_cancelled_is_given_back(scene: Scene) -> None:
    with pytest.raises(asyncio.CancelledError):
        await probed(scene, asyncio.CancelledError())
    (status,) = scene.board._view.values()
    assert (status.state, status.probe) == ("open", None)


async def test_a_cancelled_call_leaves_its_attempts(scene: Scene) -> None:
    record: list[Attempt] = []
    scene.script = {"a": [GONE], "b": [asyncio.CancelledError()]}
    plan = plan_of(request_to("a"), request_to("b"))
    with pytest.raises(asyncio.CancelledError):
        await invoke(plan, scene.services, scene, pace=scene.clock.pace(), record=record)
    assert [(one.provider, one.outcome) for one in record] == [("a", "failed"), ("b", "broken_off")]
