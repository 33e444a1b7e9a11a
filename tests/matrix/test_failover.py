"""Calls that go on: at another credential, at another provider, and not where they must not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from governance.models import BudgetPolicy, ModelCall
from providers.models import Breaker, FailoverPolicy, Provider, ProviderModel, Secret
from tests.matrix.cells import held, make_key
from tests.matrix.operations import Answered, Operation, ask
from tests.support import faults
from tests.support.factories import (
    make_credential,
    make_model,
    make_price,
    make_provider,
    make_secret,
    saved,
)
from tests.support.faults import Behaviour, Fault
from tests.support.serving import Served, serving
from tests.support.unreachable import refusing
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("connections_closed")]
MODEL = "steady"
FIRST, SECOND = "first", "second"
COOLDOWN = 0.6


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    for name in (FIRST, SECOND):
        running.behave(name, Behaviour())
    running.require_credentials()
    running.forget()
    return running


@dataclass(slots=True)
class House:
    """The rows that a test needs, made one by one."""

    upstream: Upstream
    key: str

    def provider(self, name: str, *, credentials: tuple[str, ...] = (), **fields: Any) -> Provider:
        """A provider whose model the upstream knows by the provider's name."""
        defaults: dict[str, Any] = {
            "base_url": self.upstream.base_url,
            "kind": "openai_compatible",
            "max_retries": 0,
            "retry_backoff_ms": 1,
            "breaker_cooldown": COOLDOWN,
            "cache_seconds": 0,
        }
        provider = make_provider(**{**defaults, "name": name, **fields})
        for text in credentials:
            make_credential(provider, secret=make_secret(text, name=text))
        return provider

    def model(self, provider: Provider, **fields: Any) -> ProviderModel:
        model = make_model(
            **{
                "provider": provider,
                "name": MODEL,
                "upstream_name": provider.name,
                "max_output_tokens": 900,
                **fields,
            }
        )
        make_price(model)
        return model

    def pair(self, **fields: Any) -> None:
        """Two providers of the same model, the first of them the cheaper."""
        self.model(self.provider(FIRST, **fields), cost_tier=1)
        self.model(self.provider(SECOND), cost_tier=2)


@pytest.fixture
def house(transactional_db: None, upstream: Upstream) -> House:
    return House(upstream, make_key())


async def call(served: Served, operation: Operation = Operation.CHAT) -> Answered:
    return await ask(served.client, operation, MODEL)


async def row_of(answered: Answered, served: Served) -> ModelCall:
    """The ledger's row of a call, once it is settled; nothing is held then."""
    await served.stop()
    assert await held() == 0
    return await ModelCall.objects.aget(pk=answered.headers["x-palyra-call-id"])


async def attempts_of(answered: Answered, served: Served) -> list[tuple[str, str, str]]:
    """Each attempt's provider, outcome and failure class."""
    row = await row_of(answered, served)
    return [(one["provider"], one["outcome"], one["failure_class"]) for one in row.attempts]


def by(answered: Answered) -> str:
    """The provider that answered."""
    assert answered.status == 200, answered.error
    return answered.headers["x-palyra-model"].partition("/")[0]


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
