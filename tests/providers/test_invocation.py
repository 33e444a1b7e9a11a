"""A call's way through its candidates: every attempt and every skip, in its order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.breakers import Verdict
from providers.course import CLAIMED_ELSEWHERE, LATEST_BEGINNING, MOST_WAITED
from providers.failures import Failure, FailureClass
from providers.invocation import Attempt, Invocation, Plan, invoke
from providers.registry import CredentialEntry, ProviderEntry
from providers.requests import Answer, ChatRequest
from tests.providers.entries import chat_request, credential_entry, model_entry, provider_entry
from tests.providers.fakes import REFUSED, Entering, Scene, Sent, answer, failure

DOWN = failure(http_status=503)
BUSY = failure(FailureClass.RATE_LIMITED)
BROKE = failure(FailureClass.QUOTA_EXCEEDED)
WRONG_KEY = failure(FailureClass.AUTH_INVALID, http_status=401)
GONE = failure(FailureClass.PERMANENT_UPSTREAM)
SLOW = failure(FailureClass.PROVIDER_TIMEOUT, may_be_billed=True)
LOST = failure(FailureClass.NETWORK_UNAVAILABLE, may_be_billed=True)
ASKED_WRONG = failure(FailureClass.PERMANENT_UPSTREAM, callers_fault=True, http_status=400)
YES = answer()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Scripted providers."""
    return Scene(monkeypatch)


def keys(*names: str) -> tuple[CredentialEntry, ...]:
    return tuple(credential_entry(f"sk-{name}", name=name) for name in names)


def request_to(name: str, *credentials: str, **fields: Any) -> ChatRequest:
    """A request to a model of a provider of that name."""
    provider = provider_entry(name=name, credentials=keys(*credentials), **fields)
    return chat_request(model_entry(provider, name="m"))


def plan_of(*candidates: ChatRequest) -> Plan:
    credentials = candidates[0].model.provider.credentials
    return Plan(candidates, credentials[0] if credentials else None)


async def call(scene: Scene, *candidates: ChatRequest, **script: Any) -> Invocation:
    """Make a call; `script` has each provider's outcomes."""
    for name, outcomes in script.items():
        scene.script[name] = list(outcomes) if isinstance(outcomes, list | tuple) else [outcomes]
    return await invoke(plan_of(*candidates), scene.services, scene, pace=scene.clock.pace())


def story(made: Invocation) -> list[tuple[str, ...]]:
    """Provider, credential where there is one, outcome, and the class where it failed."""
    return [
        tuple(filter(None, (one.provider, one.credential, one.outcome, one.failure_class)))
        for one in made.attempts
    ]


def failed(provider: str, made: Failure, credential: str = "") -> tuple[str, ...]:
    return tuple(filter(None, (provider, credential, "failed", made.failure_class.value)))


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


# --- the gate


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


# --- breakers


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


# --- whatever happens

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
