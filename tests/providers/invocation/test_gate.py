"""What a call's attempts must be held for first."""

from __future__ import annotations

from typing import Any

import pytest

from providers.failures import FailureClass
from tests.providers.fakes import REFUSED, Scene, failure
from tests.providers.invocation.calling import (
    DOWN,
    GONE,
    WRONG_KEY,
    YES,
    call,
    failed,
    request_to,
    story,
)

LOST = failure(FailureClass.NETWORK_UNAVAILABLE, may_be_billed=True)


async def test_what_was_admitted_needs_no_gate_and_a_plain_retry_neither(scene: Scene) -> None:
    await call(scene, request_to("a", "one"), a=[DOWN, YES])
    assert scene.entered == []


async def test_the_gate_is_asked_for_what_is_billed_for_keys_and_for_providers(
    scene: Scene,
) -> None:
    first, second = request_to("a", "one", "two"), request_to("b", "three")
    await call(scene, first, second, a=[LOST, WRONG_KEY, GONE], b=YES)
    one, two = first.model.provider.credentials
    (three,) = second.model.provider.credentials
    assert [
        (entering.request, entering.billed, entering.entered and entering.entered.credential)
        for entering in scene.entered
    ] == [
        (first, (first,), one),  # again, after an attempt that may be billed: with the same key
        (first, (first,), two),
        (second, (first,), three),
    ]
    assert [(one.request, one.credential) for one in scene.sent] == [
        (first, one),
        (first, one),
        (first, two),
        (second, three),
    ]


async def test_what_the_gate_refuses_is_skipped(scene: Scene) -> None:
    scene.doors = [False]
    candidates = [request_to(name) for name in ("a", "b", "c")]
    made = await call(scene, *candidates, a=GONE, c=YES)
    assert story(made) == [failed("a", GONE), ("b", "skipped"), ("c", "answered")]
    assert made.attempts[1].message == REFUSED


async def test_refused_again_after_a_bill_goes_on_to_the_next(scene: Scene) -> None:
    scene.doors = [False]
    made = await call(scene, request_to("a"), request_to("b"), a=LOST, b=YES)
    assert story(made) == [failed("a", LOST), ("a", "skipped"), ("b", "answered")]


async def test_if_all_else_is_skipped_the_failure_is_the_last_attempts(scene: Scene) -> None:
    scene.doors = [False]
    first = request_to("a")
    made = await call(scene, first, request_to("b"), a=GONE)
    assert (made.outcome, made.request) == (GONE, first)


async def test_the_gate_may_prefer_another_credential(scene: Scene) -> None:
    scene.doors = [1]
    second = request_to("b", "one", "two")
    made = await call(scene, request_to("a"), second, a=GONE, b=YES)
    assert story(made)[-1] == ("b", "two", "answered")


async def test_a_fault_of_the_gate_passes_through(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise LookupError

    monkeypatch.setattr(scene, "enter", broken)
    with pytest.raises(LookupError):
        await call(scene, request_to("a"), request_to("b"), a=GONE)
