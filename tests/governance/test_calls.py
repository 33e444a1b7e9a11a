"""The one way a call is made, end to end in one process: every way out ends in one settlement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from governance import calls
from governance.calls import Caller, CallRequest, CallResult, execute
from governance.errors import (
    BudgetBlocked,
    InvalidRequest,
    ProviderFailed,
    ProviderRefused,
    UnknownModel,
    UnpricedModel,
)
from governance.models import BudgetPolicy, BudgetWindow, ModelCall, ProcessHeartbeat, Team
from governance.runtime import Runtime, blocking_runtime, stop_blocking_runtime
from providers import attempts
from providers.breakers import BreakerBoard, BreakerView, Verdict
from providers.failures import Failure, FailureClass
from providers.requests import Answer, ChatRequest, ModelRequest, Outcome
from tests.governance.scripted import answer, install
from tests.governance.test_writer import GatedStore
from tests.support.factories import make_model, make_policy, make_price, make_provider, make_team

pytestmark = pytest.mark.django_db(transaction=True)


class Scene:
    """A team with a priced model, and a policy that has plenty of room."""

    def __init__(self) -> None:
        self.team: Team = make_team()
        self.provider = make_provider(name="here")
        self.model = make_model(provider=self.provider, name="chat", max_output_tokens=100)
        self.price = make_price(self.model)
        self.policy: BudgetPolicy = make_policy(hard_limit=10**9)

    def request(self, **body: Any) -> CallRequest:
        asked = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], **body}
        return CallRequest(caller=Caller(team_id=self.team.pk, surface="openai"), body=asked)

    async def window(self) -> tuple[int, int]:
        window = await BudgetWindow.objects.aget(policy=self.policy)
        return window.consumed, window.held


@pytest.fixture
def scene(transactional_db: None) -> Scene:
    return Scene()


@pytest_asyncio.fixture
async def runtime(scene: Scene) -> AsyncIterator[Runtime]:
    runtime = await Runtime.start(role="web")
    yield runtime
    await runtime.stop()
    # The thread behind asynchronous queries keeps its connection, and the database is dropped soon.
    await sync_to_async(connections.close_all)()


async def test_an_answered_call_is_in_the_ledger_to_the_nano_dollar(
    scene: Scene, runtime: Runtime
) -> None:
    result: CallResult = await execute(scene.request(), runtime=runtime, settled=True)

    row = await ModelCall.objects.aget(pk=result.call_id)
    usage = result.usage
    assert result.text.startswith("You asked: “hello”")
    assert result.cost == usage.uncached_input * 1000 + usage.output * 2000
    assert (row.status, row.cost, row.price_id) == ("succeeded", result.cost, scene.price.pk)
    assert (row.uncached_input_tokens, row.output_tokens) == (usage.uncached_input, usage.output)
    assert row.decision["actual"] == "here/chat"
    assert row.decision["explanation"]
    assert [attempt["outcome"] for attempt in row.attempts] == ["answered"]
    assert await scene.window() == (result.cost, 0)


async def test_the_hold_is_durable_before_the_provider_is_asked(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    send = attempts.send

    async def spy(request: ModelRequest, *rest: Any) -> Outcome:
        # sync_to_async looks through another connection: it sees only what is committed.
        row = await ModelCall.objects.aget()
        seen.update(status=row.status, upper=row.estimate_upper, window=await scene.window())
        assert isinstance(request, ChatRequest)
        seen["cap"] = request.output_cap
        return await send(request, *rest)

    monkeypatch.setattr(attempts, "send", spy)
    await execute(scene.request(max_tokens=70), runtime=runtime)

    assert seen["status"] == "in_flight"
    assert seen["window"] == (0, seen["upper"])
    assert seen["cap"] == 70
    # The cap sent is paid for: 70 output tokens and more than the request's bytes as input.
    assert seen["upper"] > 70 * 2000 + len("hello") * 1000


async def test_a_blocked_call_is_never_sent(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, here=answer())
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(hard_limit=1)

    with pytest.raises(BudgetBlocked) as caught:
        await execute(scene.request(), runtime=runtime)

    row = await ModelCall.objects.aget()
    assert (row.status, row.pk) == ("blocked", caught.value.call_id)
    assert caught.value.detail["policy"] == scene.policy.name
    assert caught.value.detail["limit"] == "0.000000001"
    assert await scene.window() == (0, 0)
    assert script.asked == []


async def test_unknown_is_not_zero(scene: Scene, runtime: Runtime) -> None:
    await sync_to_async(scene.price.delete)()
    await asyncio.to_thread(runtime.keeper.refresh)
    while runtime.snapshot.prices:
        await asyncio.sleep(0)

    with pytest.raises(UnpricedModel) as caught:
        await execute(scene.request(), runtime=runtime)
    assert "no price" in caught.value.message

    await sync_to_async(scene.policy.delete)()
    result = await execute(scene.request(), runtime=runtime, settled=True)
    assert result.cost is None
    assert (await ModelCall.objects.aget(pk=result.call_id)).cost is None


async def test_what_cannot_be_made_leaves_no_row(scene: Scene, runtime: Runtime) -> None:
    with pytest.raises(UnknownModel):
        await execute(scene.request(model="nope"), runtime=runtime)
    with pytest.raises(InvalidRequest):
        await execute(scene.request(messages=[]), runtime=runtime)
    assert not await ModelCall.objects.aexists()


@pytest.mark.parametrize("billed", [False, True])
async def test_a_failure_costs_what_may_have_been_billed(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, billed: bool
) -> None:
    install(
        monkeypatch,
        here=Failure(
            failure_class=FailureClass.PROVIDER_TIMEOUT, message="Too slow.", may_be_billed=billed
        ),
    )
    with pytest.raises(ProviderFailed) as caught:
        await execute(scene.request(), runtime=runtime, settled=True)

    row = await ModelCall.objects.aget()
    assert (row.status, row.failure_class) == ("failed", "provider_timeout")
    assert row.cost == (row.estimate_expected if billed else 0)
    assert not row.usage_reported
    assert await scene.window() == (row.cost, 0)
    assert caught.value.detail["failure_class"] == "provider_timeout"


async def test_what_the_provider_refuses_is_the_callers_to_mend(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        monkeypatch,
        here=Failure(
            failure_class=FailureClass.CONTEXT_WINDOW_EXCEEDED,
            message="The provider answered 400: too long.",
            http_status=400,
            callers_fault=True,
        ),
    )
    with pytest.raises(ProviderRefused) as caught:
        await execute(scene.request(), runtime=runtime, settled=True)
    assert caught.value.status == 400
    assert "too long" in caught.value.message
    assert (await ModelCall.objects.aget()).cost == 0


async def test_an_answer_without_usage_is_settled_at_an_estimate_and_marked(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = {"role": "assistant", "content": "x\0" * 200}
    body = {"choices": [{"message": message}, {"message": {"content": "y" * 400}}]}
    install(monkeypatch, here=Answer(body, None))

    result = await execute(scene.request(), runtime=runtime, settled=True)

    row = await ModelCall.objects.aget()
    assert result.text == "x" * 200
    assert not row.usage_reported
    # Every choice counts, with a little for what JSON puts around the text.
    assert row.output_tokens is not None
    assert 200 <= row.output_tokens <= 600
    assert row.cost == result.cost == row.expected_input_tokens * 1000 + row.output_tokens * 2000


async def test_a_call_cancelled_at_the_provider_is_charged_as_expected(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def hang(*_: Any) -> Outcome:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    monkeypatch.setattr(attempts, "send", hang)
    task = asyncio.create_task(execute(scene.request(), runtime=runtime))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await runtime.stop()

    row = await ModelCall.objects.aget()
    assert (row.status, row.cost) == ("cancelled", row.estimate_expected)
    assert await scene.window() == (row.cost, 0)
    monkeypatch.undo()


async def test_a_call_cancelled_before_its_first_attempt_is_no_request(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    claiming = asyncio.Event()

    async def hang(*_: Any) -> None:
        claiming.set()
        await asyncio.Event().wait()

    requests = await sync_to_async(make_policy)(metric="requests", hard_limit=10)
    monkeypatch.setattr(BreakerBoard, "view", lambda *_: BreakerView(Verdict.PROBE))
    monkeypatch.setattr(BreakerBoard, "claim_probe", hang)
    task = asyncio.create_task(execute(scene.request(), runtime=runtime))
    await claiming.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await runtime.stop()

    row = await ModelCall.objects.aget()
    assert (row.status, row.cost) == ("cancelled", 0)
    window = await BudgetWindow.objects.aget(policy=requests)
    assert (window.consumed, window.held) == (0, 0)


async def test_a_call_cancelled_while_it_is_held_costs_nothing(
    scene: Scene, runtime: Runtime
) -> None:
    store = GatedStore(runtime.process_id)
    runtime.ledger._store = store
    task = asyncio.create_task(execute(scene.request(), runtime=runtime))
    await asyncio.to_thread(store.waiting.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.gate.set()
    await runtime.stop()

    row = await ModelCall.objects.aget()
    assert (row.status, row.cost) == ("cancelled", 0)
    assert await scene.window() == (0, 0)


async def test_a_fault_of_our_own_settles_the_call_too(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Outcome:
        raise RuntimeError("a bug")

    monkeypatch.setattr(attempts, "send", broken)
    with pytest.raises(RuntimeError):
        await execute(scene.request(), runtime=runtime)
    await runtime.stop()

    row = await ModelCall.objects.aget()
    assert row.status == "failed"
    assert "a bug" not in row.error
    assert row.cost == row.estimate_expected
    assert await scene.window() == (row.cost, 0)


async def test_an_answer_we_cannot_settle_by_is_charged_as_expected(
    scene: Scene, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested: list[Any] = []
    for _ in range(600):  # Deeper than JSON can be made of again.
        nested = [nested]
    body = {"choices": [{"message": {"role": "assistant", "content": nested}}]}
    install(monkeypatch, here=Answer(body, None))
    with pytest.raises(TypeError):
        await execute(scene.request(), runtime=runtime)
    await runtime.stop()

    row = await ModelCall.objects.aget()
    assert row.status == "failed"
    assert row.cost == row.estimate_expected
    assert await scene.window() == (row.cost, 0)


async def test_foreseeing_makes_nothing(scene: Scene, runtime: Runtime) -> None:
    foresee = sync_to_async(calls.foresee)
    decision = (await foresee(scene.request(), runtime.snapshot, timezone.now())).decision
    assert decision.actual == "here/chat"
    assert decision.estimate is not None
    assert not await ModelCall.objects.aexists()


def test_synchronous_code_has_a_runtime_of_its_own(scene: Scene) -> None:
    runtime = blocking_runtime(role="worker")
    try:
        assert blocking_runtime(role="worker") is runtime
        assert ProcessHeartbeat.objects.get(pk=runtime.process_id).role == "worker"
        result = runtime.call(lambda inner: execute(scene.request(), runtime=inner, settled=True))
        assert ModelCall.objects.get(pk=result.call_id).status == "succeeded"
    finally:
        stop_blocking_runtime()
    assert not ProcessHeartbeat.objects.exists()
