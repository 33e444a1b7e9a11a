"""Calls that go on: at another credential, at another provider, and not where they must not."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from governance.models import BudgetPolicy, BudgetWindow, ModelCall
from providers.models import Breaker, FailoverPolicy, Secret
from tests.matrix.cells import CLAUDE, held
from tests.matrix.house import (
    COOLDOWN,
    FIRST,
    MODEL,
    SECOND,
    House,
    attempts_of,
    by,
    call,
    row_of,
)
from tests.matrix.operations import CHATS, Answered, Operation, ask, assert_sound
from tests.support import faults
from tests.support.factories import make_credential, make_model, make_price, saved
from tests.support.faults import Behaviour, Fault
from tests.support.serving import serving
from tests.support.unreachable import refusing
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("connections_closed")]


async def test_a_dead_provider_is_no_reason_to_fail(house: House) -> None:
    with refusing() as nobody:
        await sync_to_async(house.pair)(base_url=nobody, max_retries=1)
        async with serving(house.key) as served:
            answered = await call(served)
            assert by(answered) == SECOND
            assert answered.headers["x-palyra-attempts"] == "3"
            assert await attempts_of(answered, served) == [
                (FIRST, "failed", "network_unavailable"),
                (FIRST, "failed", "network_unavailable"),
                (SECOND, "answered", ""),
            ]


async def test_a_provider_that_failed_thrice_is_left_alone_for_a_while(
    house: House, upstream: Upstream
) -> None:
    await sync_to_async(house.pair)(breaker_threshold=3)
    upstream.behave(FIRST, Behaviour(status=500, times=3))
    async with serving(house.key) as served:
        answers: list[Answered] = []
        while not answers or by(answers[-1]) == SECOND:
            answers.append(await call(served))
            await served.application.runtime.providers.breakers.settled()
        again = await call(served)
        await served.stop()
    # It was well again after three failures, but nobody asked before the cooldown was over.
    assert [by(one) for one in (*answers[:3], again)] == [SECOND, SECOND, SECOND, FIRST]
    assert len(answers) > 4
    arrivals = [one.arrived_at for one in upstream.received(FIRST)]
    assert len(arrivals) == 5
    assert COOLDOWN * 0.9 < arrivals[3] - arrivals[2] < COOLDOWN + 1
    row = await Breaker.objects.aget(provider__name=FIRST)
    assert (row.state, row.failures) == ("closed", 0)


async def test_a_call_is_refused_with_a_time_when_every_breaker_is_open(
    house: House, upstream: Upstream
) -> None:
    await sync_to_async(lambda: house.model(house.provider(FIRST, breaker_threshold=1)))()
    upstream.behave(FIRST, Behaviour(status=500))
    async with serving(house.key) as served:
        assert (await call(served)).status == 502
        await served.application.runtime.providers.breakers.settled()
        for operation in (Operation.CHAT, Operation.STREAM):
            refused = await call(served, operation)
            assert (refused.status, refused.error["code"]) == (503, "provider_unavailable")
            assert int(refused.headers["retry-after"]) >= 1
            # Nothing was sent, so a client may try again by itself.
            assert "x-should-retry" not in refused.headers
        assert await attempts_of(refused, served) == [(FIRST, "skipped", "")]
    row = await ModelCall.objects.aget(pk=refused.headers["x-palyra-call-id"])
    assert (row.status, row.cost) == ("failed", 0)
    assert upstream.arrived(FIRST) == 1


async def test_credentials_take_turns(house: House, upstream: Upstream) -> None:
    keys = ("sk-one-of-three", "sk-two-of-three", "sk-three-of-three")
    await sync_to_async(lambda: house.model(house.provider(FIRST, credentials=keys)))()
    async with serving(house.key) as served:
        for _ in range(6):
            assert by(await call(served)) == FIRST
    used = [one.credential for one in upstream.received(FIRST)]
    assert set(used[:3]) == set(keys)
    assert used[3:] == used[:3]


async def test_a_bad_credential_gives_way_to_the_good_one(house: House, upstream: Upstream) -> None:
    bad, good = "sk-the-bad-one", "sk-the-good-one"
    upstream.require_credentials(good)
    provider = await sync_to_async(house.provider)(
        FIRST, credentials=(bad, good), breaker_threshold=2
    )
    await sync_to_async(house.model)(provider)
    async with serving(house.key) as served:
        answers = []
        for _ in range(8):
            answers.append(await call(served))
            await served.application.runtime.providers.breakers.settled()
        assert [by(one) for one in answers] == [FIRST] * 8
        await served.stop()
    used = [one.credential for one in upstream.received(FIRST)]
    # After two failures the bad one's breaker is open; the good one's is not touched.
    assert (used.count(bad), used.count(good)) == (2, 8)
    rows = {row.credential.secret.name: row.state async for row in _breakers()}
    assert rows.get(bad) == "open"
    assert rows.get(good, "closed") == "closed"
    told = [one["credential"] async for row in ModelCall.objects.all() for one in row.attempts]
    assert set(told) == {bad, good}


def _breakers() -> Any:
    return Breaker.objects.select_related("credential__secret")


async def test_a_missing_credential_fails_over_too(house: House, upstream: Upstream) -> None:
    def make() -> None:
        first = house.provider(FIRST)
        secret = saved(Secret(name="missing", reference="env:NOT_SET_IN_ANY_TEST"))
        make_credential(first, secret=secret)
        house.model(first, cost_tier=1)
        house.model(house.provider(SECOND), cost_tier=2)

    await sync_to_async(make)()
    async with serving(house.key) as served:
        answered = await call(served)
        assert by(answered) == SECOND
        assert await attempts_of(answered, served) == [
            (FIRST, "skipped", ""),
            (SECOND, "answered", ""),
        ]
    assert upstream.arrived(FIRST) == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        faults.INTERNAL_ERROR,
        faults.RATE_LIMITED_FOR_LONG,
        faults.OUT_OF_QUOTA,
        Behaviour(fault=Fault.ERROR_EVENT),
        Behaviour(fault=Fault.TRUNCATED),
        Behaviour(fault=Fault.DROPPED),
        Behaviour(fault=Fault.MALFORMED_JSON),
    ],
)
async def test_a_stream_goes_on_elsewhere_before_its_first_piece(
    house: House, upstream: Upstream, behaviour: Behaviour
) -> None:
    await sync_to_async(house.pair)()
    upstream.behave(FIRST, behaviour)
    async with serving(house.key) as served:
        answered = await call(served, Operation.STREAM)
        assert by(answered) == SECOND
        assert answered.done
        assert answered.text.startswith("upstream answer")
        assert {chunk["model"] for chunk in answered.chunks} == {MODEL}
        attempts = await attempts_of(answered, served)
    assert [one[:2] for one in attempts] == [(FIRST, "failed"), (SECOND, "answered")]


@pytest.mark.parametrize(
    "fault", [Fault.ERROR_EVENT, Fault.TRUNCATED, Fault.DROPPED_IN_BODY, Fault.MALFORMED_JSON]
)
async def test_a_stream_that_has_begun_ends_where_it_breaks(
    house: House, upstream: Upstream, fault: Fault
) -> None:
    await sync_to_async(house.pair)()
    upstream.behave(FIRST, Behaviour(fault=fault, after=1))
    async with serving(house.key) as served:
        answered = await call(served, Operation.STREAM)
        assert by(answered) == FIRST
        assert answered.text == "upstream "
        assert answered.error["code"] == "provider_failed"
        assert not answered.done
        attempts = await attempts_of(answered, served)
    assert [one[:2] for one in attempts] == [(FIRST, "cut")]
    assert upstream.arrived(SECOND) == 0


@pytest.mark.parametrize(
    "behaviour",
    [faults.INVALID_REQUEST, faults.TOO_LARGE, faults.CONTEXT_EXCEEDED, faults.POLICY_VIOLATED],
)
async def test_the_callers_own_fault_is_nobody_elses(
    house: House, upstream: Upstream, behaviour: Behaviour
) -> None:
    await sync_to_async(house.pair)(breaker_threshold=1)
    upstream.behave(FIRST, behaviour)
    async with serving(house.key) as served:
        for operation in (Operation.CHAT, Operation.STREAM, Operation.CHAT):
            assert (await call(served, operation)).status == behaviour.status
    assert (upstream.arrived(FIRST), upstream.arrived(SECOND)) == (3, 0)
    assert not await Breaker.objects.exclude(state="closed", failures=0).aexists()


@pytest.mark.parametrize(
    ("enabled", "pinned", "answers"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
async def test_a_named_model_is_kept_to_unless_that_is_allowed(
    house: House, upstream: Upstream, enabled: bool, pinned: bool, answers: bool
) -> None:
    def make() -> None:
        FailoverPolicy.objects.update_or_create(
            pk=1, defaults={"enabled": enabled, "pinned": pinned}
        )
        house.model(house.provider(FIRST))
        house.model(house.provider(SECOND), name="another")

    await sync_to_async(make)()
    upstream.behave(FIRST, faults.INTERNAL_ERROR)
    async with serving(house.key) as served:
        answered = await call(served)
    assert (answered.status == 200) == answers
    assert (upstream.arrived(FIRST), upstream.arrived(SECOND)) == (1, int(answers))


async def test_a_fallback_that_the_budget_cannot_pay_for_is_not_asked(
    house: House, upstream: Upstream
) -> None:
    def make() -> None:
        first, second = house.provider(FIRST), house.provider(SECOND)
        house.model(first, cost_tier=1)
        dear = make_model(
            provider=second, name=MODEL, upstream_name=SECOND, max_output_tokens=900, cost_tier=2
        )
        # A cent a token, and a dollar for the month.
        make_price(dear, uncached_input=10**13, output=10**13)
        BudgetPolicy.objects.update(hard_limit=10**9)

    await sync_to_async(make)()
    upstream.behave(FIRST, faults.INTERNAL_ERROR)
    async with serving(house.key) as served:
        answered = await call(served)
        assert answered.status == 502
        row = await row_of(answered, served)
    assert [(one["provider"], one["outcome"]) for one in row.attempts] == [
        (FIRST, "failed"),
        (SECOND, "skipped"),
    ]
    assert "Monthly" in row.attempts[1]["message"]
    assert row.cost == 0
    assert (upstream.arrived(FIRST), upstream.arrived(SECOND)) == (1, 0)
    assert await held() == 0


async def test_an_attempt_that_may_be_billed_is_charged_beside_the_answer(
    house: House, upstream: Upstream
) -> None:
    await sync_to_async(lambda: house.model(house.provider(FIRST, max_retries=1)))()
    upstream.behave(FIRST, Behaviour(fault=Fault.DROPPED, times=1))
    async with serving(house.key) as served:
        answered = await call(served)
        assert by(answered) == FIRST
        row = await row_of(answered, served)
    assert [one["outcome"] for one in row.attempts] == ["failed", "answered"]
    _, received = upstream.received(FIRST)
    usage = received.usage()
    reported = 1000 * usage.prompt + 2000 * usage.completion
    # The row has what is expected of both attempts; they ask the same, so one is half of it.
    assert row.cost == reported + (row.estimate_expected or 0) // 2
    assert row.cost <= (row.estimate_upper or 0)
    assert not row.usage_reported
    window = await BudgetWindow.objects.aget()
    assert (window.consumed, window.held) == (row.cost, 0)


@pytest.mark.parametrize("operation", CHATS)
@pytest.mark.parametrize(
    "kinds", [("openai_compatible", "anthropic"), ("anthropic", "openai_compatible")]
)
async def test_a_call_goes_on_in_the_other_protocol(
    house: House, upstream: Upstream, operation: Operation, kinds: tuple[str, str]
) -> None:
    addresses = {
        "openai_compatible": upstream.base_url,
        "anthropic": upstream.anthropic_base_url,
    }

    def make() -> None:
        for tier, (name, kind) in enumerate(zip((FIRST, SECOND), kinds, strict=True), start=1):
            provider = house.provider(name, kind=kind, base_url=addresses[kind])
            upstream_name = f"{CLAUDE}.{name}"
            house.model(provider, cost_tier=tier, upstream_name=upstream_name, vision=True)

    await sync_to_async(make)()
    upstream.behave(f"{CLAUDE}.{FIRST}", faults.OVERLOADED)
    async with serving(house.key) as served:
        answered = await call(served, operation)
        assert by(answered) == SECOND
        assert_sound(operation, answered)
        row = await row_of(answered, served)
    assert (row.provider, row.status) == (SECOND, "succeeded")
    (received,) = upstream.received(f"{CLAUDE}.{SECOND}")
    usage = received.usage()
    assert row.cost == 1000 * usage.prompt + 2000 * usage.completion


async def test_no_rehearsal_is_passed_off_as_an_answer(house: House, upstream: Upstream) -> None:
    def make() -> None:
        house.model(house.provider(FIRST), is_default=True)
        house.model(house.provider(SECOND, kind="deterministic", base_url=""), name="rehearsed")

    await sync_to_async(make)()
    upstream.behave(FIRST, faults.INTERNAL_ERROR)
    async with serving(house.key) as served:
        for operation in (Operation.CHAT, Operation.STREAM):
            assert (await ask(served.client, operation, "auto")).status == 502
    assert upstream.arrived(FIRST) == 2


async def test_auto_goes_on_at_another_model(house: House, upstream: Upstream) -> None:
    def make() -> None:
        house.model(house.provider(FIRST), is_default=True)
        house.model(house.provider(SECOND), name="another")

    await sync_to_async(make)()
    upstream.behave(FIRST, faults.INTERNAL_ERROR)
    async with serving(house.key) as served:
        for operation in (Operation.CHAT, Operation.STREAM):
            answered = await ask(served.client, operation, "auto")
            assert by(answered) == SECOND
            assert_sound(operation, answered)


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.STREAM])
@pytest.mark.parametrize("limit", ["concurrency_limit", "credential_concurrency_limit"])
async def test_a_busy_provider_is_passed_over_and_alone_says_when_to_come_again(
    house: House, upstream: Upstream, operation: Operation, limit: str
) -> None:
    def make() -> None:
        provider = house.provider(FIRST, credentials=("sk-the-only-one",), **{limit: 1})
        house.model(provider, cost_tier=1)
        house.model(provider, name="alone", upstream_name="alone")
        house.model(house.provider(SECOND), cost_tier=2)

    await sync_to_async(make)()
    upstream.hold(FIRST)
    async with serving(house.key) as served:
        first = asyncio.create_task(call(served))
        await asyncio.to_thread(upstream.wait_for_calls, FIRST, 1)
        assert by(await call(served, operation)) == SECOND
        refused = await ask(served.client, operation, "alone")
        assert (refused.status, refused.error["code"]) == (503, "provider_unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert "x-should-retry" not in refused.headers
        upstream.release(FIRST)
        assert by(await first) == FIRST
        # Its place is free again.
        assert (await ask(served.client, operation, "alone")).status == 200
        await served.stop()
    assert (upstream.arrived(FIRST), upstream.arrived("alone")) == (1, 1)
    assert await held() == 0


async def test_whoever_waits_for_a_place_gets_it_when_it_is_free(
    house: House, upstream: Upstream
) -> None:
    await sync_to_async(lambda: house.model(house.provider(FIRST, concurrency_limit=1)))()
    upstream.behave(FIRST, Behaviour(latency=0.1))
    async with serving(house.key) as served:
        answers = await asyncio.gather(*(call(served) for _ in range(3)))
        assert [by(one) for one in answers] == [FIRST] * 3
        await served.stop()
    arrivals = [one.arrived_at for one in upstream.received(FIRST)]
    gaps = [after - before for before, after in pairwise(arrivals)]
    assert min(gaps) >= 0.1
    assert await held() == 0
