"""Whatever providers and the gate do, attempts are exact and held for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.course import MOST_WAITED
from providers.failures import Failure, FailureClass
from providers.invocation import Invocation, Plan
from providers.requests import ChatRequest
from tests.providers.fakes import REFUSED, Entering, Scene, Sent, failure
from tests.providers.invocation.calling import (
    ASKED_WRONG,
    BUSY,
    DOWN,
    GONE,
    YES,
    call,
    plan_of,
    request_to,
)

OUTCOMES = st.sampled_from(
    [
        YES,
        ASKED_WRONG,
        *(failure(one) for one in FailureClass),
        *(failure(one, may_be_billed=True) for one in FailureClass),
        replace(BUSY, retry_after=2.0),
        replace(BUSY, retry_after=60.0, may_be_billed=True),
        replace(DOWN, should_retry=False),
        replace(GONE, should_retry=True, may_be_billed=True),
    ]
)
PROVIDERS = st.fixed_dictionaries(
    {
        "credentials": st.integers(0, 3),
        "script": st.lists(OUTCOMES, min_size=1, max_size=8),
        "max_retries": st.integers(0, 3),
        "breaker_threshold": st.integers(1, 5),
    }
)
DOORS = st.lists(st.booleans() | st.integers(1, 2), max_size=12)


@given(st.lists(PROVIDERS, min_size=1, max_size=3), DOORS)
def test_whatever_providers_and_the_gate_do(providers: list[Any], doors: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        scene = Scene(monkeypatch)
        scene.doors = list(doors)
        candidates = []
        for number, one in enumerate(providers):
            name, names = f"p{number}", [f"k{key}" for key in range(one["credentials"])]
            limits = {key: one[key] for key in ("max_retries", "breaker_threshold")}
            candidates.append(request_to(name, *names, **limits))
            scene.script[name] = list(one["script"])
        made = asyncio.run(call(scene, *candidates))
    sent = scene.sent
    _attempts_are_exact(made, sent)
    _refusals_are_told(made, scene)
    _all_was_held_for(scene, plan_of(*candidates))
    _it_goes_forward(sent, candidates)
    assert sum(scene.clock.waits) <= MOST_WAITED
    assert made.outcome is sent[-1].outcome
    assert made.request is sent[-1].request
    assert made.billed == tuple(one.request for one in sent if _may_be_billed(one))
    assert not any(_is_callers_fault(one) for one in sent[:-1])


def _attempts_are_exact(made: Invocation, sent: list[Sent]) -> None:
    tried = [one for one in made.attempts if one.outcome != "skipped"]
    assert [
        (one.provider, one.credential, one.outcome, one.failure_class, one.may_be_billed)
        for one in tried
    ] == [
        (
            one.request.model.provider.name,
            one.credential.name if one.credential else "",
            "failed" if isinstance(one.outcome, Failure) else "answered",
            one.outcome.failure_class if isinstance(one.outcome, Failure) else "",
            _may_be_billed(one),
        )
        for one in sent
    ]


def _refusals_are_told(made: Invocation, scene: Scene) -> None:
    told = [one.provider for one in made.attempts if one.message == REFUSED]
    refused = [one.request.model.provider.name for one in scene.entered if one.entered is None]
    assert told == refused
    assert all(one.message for one in made.attempts if one.outcome == "skipped")


def _all_was_held_for(scene: Scene, plan: Plan) -> None:
    """Each attempt is at what is held, with all that was billed before it held as well."""
    held: Any = (plan.candidates[0], plan.credential, ())
    billed: list[Any] = []
    for one in scene.log:
        if isinstance(one, Entering):
            if one.entered is not None:
                held = (one.request, one.entered.credential, one.billed)
            continue
        assert held == (one.request, one.credential, tuple(billed))
        if _may_be_billed(one):
            billed.append(one.request)


def _it_goes_forward(sent: list[Sent], candidates: list[ChatRequest]) -> None:
    """No candidate is returned to, nor a credential once left, nor is one tried too often."""
    runs: list[tuple[Any, Any]] = []
    counts: list[int] = []
    for one in sent:
        if not runs or runs[-1] != (one.request, one.credential):
            runs.append((one.request, one.credential))
            counts.append(0)
        counts[-1] += 1
    assert len(runs) == len({(id(request), credential) for request, credential in runs})
    places = [candidates.index(request) for request, _ in runs]
    assert places == sorted(places)
    for (request, _), count in zip(runs, counts, strict=True):
        assert count <= 1 + request.model.provider.max_retries


def _may_be_billed(sent: Sent) -> bool:
    return isinstance(sent.outcome, Failure) and sent.outcome.may_be_billed


def _is_callers_fault(sent: Sent) -> bool:
    return isinstance(sent.outcome, Failure) and sent.outcome.callers_fault
