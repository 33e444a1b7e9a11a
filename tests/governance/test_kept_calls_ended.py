"""How kept calls end that are not answered at once: denied, failed, or waiting on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from governance import kept_calls
from governance.calls import execute, open_stream
from governance.errors import (
    BudgetBlocked,
    CallWaits,
    RateLimited,
)
from governance.models import (
    Approval,
    BudgetPolicy,
    KeptCall,
    ModelCall,
)
from providers.failures import FailureClass
from providers.models import ModelRole
from tests.governance import scripted
from tests.governance.kept_calls import (
    NOTHING,
    Told,
    approval_needed,
    asked,
    decide,
    decide_now,
    kept,
    make,
    raised,
    refusal,
    status,
)
from tests.governance.scenes import TwoProviders
from tests.support.factories import make_model, make_policy, make_price

pytestmark = pytest.mark.usefixtures("told")


async def test_an_answer_that_no_database_stores_as_it_is_is_kept_all_the_same(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.install(monkeypatch, first=scripted.answer("A\0B"))
    call_id = await kept(two)
    await decide()
    await make(call_id)
    assert await status(call_id) == "succeeded"
    stored = await KeptCall.objects.aget()
    assert stored.answer is not None
    assert stored.answer["body"]["choices"][0]["message"]["content"] == "A\ufffdB"


async def test_a_failure_that_no_database_stores_as_it_is_is_kept_all_the_same(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = await kept(two)
    await decide()

    async def fails(*_: Any, **__: Any) -> Any:
        raise BudgetBlocked("A\0B", detail={"said": ["\0"]})

    monkeypatch.setattr(kept_calls, "execute", fails)
    await make(call_id)
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert (stored.error["message"], stored.error["detail"]) == ("A\ufffdB", {"said": ["\ufffd"]})
    assert (await ModelCall.objects.aget()).error == "A\ufffdB"


async def test_a_request_that_no_database_stores_is_not_kept(two: TwoProviders) -> None:
    await approval_needed(two)
    request = two.request(messages=[{"role": "user", "content": "a\0b"}])
    error = await refusal(replace(request, respond_async=True), two)
    assert (error.status, error.code) == (402, "approval_required")
    assert (await two.row()).status == "blocked"
    assert not await KeptCall.objects.aexists()


async def test_denied_it_ends_as_denied(two: TwoProviders, told: Told) -> None:
    await sync_to_async(make_policy)(
        name="Tokens", metric="tokens", hard_limit=NOTHING, action="approval"
    )
    call_id = await kept(two)
    denied = await decide(approve=False, policy=two.policy)
    row = await ModelCall.objects.aget()
    assert (row.status, row.cost) == ("denied", 0)
    assert row.error == (
        "boss denied what this call needed of “Monthly”: “Not today.” It was not made."
    )
    stored = await KeptCall.objects.aget()
    assert stored.request is None
    assert stored.error == {"status": 402, "code": "denied", "message": row.error}
    # Nobody needs to decide the rest.
    rest = await Approval.objects.aget(call_id=call_id, policy__name="Tokens")
    assert (rest.status, rest.decided_by_id, rest.comment) == ("denied", None, row.error)
    assert denied.status == "denied"
    await make(call_id)
    assert await status(call_id) == "denied"
    assert told.calls == []
    assert await raised(two) == (0, 0, 0)


async def test_a_decision_that_is_rolled_back_tells_nobody(two: TwoProviders, told: Told) -> None:
    call_id = await kept(two)

    @sync_to_async
    def decide_in_vain() -> None:
        with transaction.atomic():
            decide_now()
            transaction.set_rollback(True)

    await decide_in_vain()
    assert told.calls == []
    assert (await Approval.objects.aget(call_id=call_id)).status == "pending"


async def test_a_call_is_made_where_its_budget_stops_nothing_any_more(two: TwoProviders) -> None:
    call_id = await kept(two)
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(enabled=False)
    await two.changed()
    await decide()
    await make(call_id)
    assert await status(call_id) == "succeeded"
    assert (await Approval.objects.aget()).window_id is None


async def test_what_the_provider_says_no_to_is_the_kept_error(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.install(monkeypatch, first=scripted.failure(FailureClass.AUTH_INVALID))
    call_id = await kept(two)
    await decide()
    await make(call_id)
    assert await status(call_id) == "failed"
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert (stored.error["status"], stored.error["code"]) == (502, "provider_failed")
    assert stored.error["detail"]["failure_class"] == "auth_invalid"
    assert stored.answer is None
    assert stored.request is None
    assert await raised(two) == (0, 0, 0)


async def test_a_model_that_is_gone_meanwhile_is_the_kept_error(two: TwoProviders) -> None:
    call_id = await kept(two)
    await decide()
    two.cheap.enabled = False
    two.dear.enabled = False
    for model in (two.cheap, two.dear):
        await sync_to_async(model.save)()
    await make(call_id)
    row = await ModelCall.objects.aget()
    assert (row.status, row.cost) == ("blocked", 0)
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert stored.error["status"] in {400, 404, 503}
    assert stored.error["message"] == row.error


async def test_where_no_provider_has_a_place_it_goes_on_waiting(two: TwoProviders) -> None:
    call_id = await kept(two)
    await decide()
    await type(two.first).objects.all().aupdate(concurrency_limit=0)
    await make(call_id)
    assert await status(call_id) == "waiting"
    assert (await KeptCall.objects.aget()).ended_at is None
    await type(two.first).objects.all().aupdate(concurrency_limit=None)
    await make(call_id)
    assert await status(call_id) == "succeeded"


async def test_where_a_rate_has_no_room_it_goes_on_waiting(two: TwoProviders) -> None:
    rate = await sync_to_async(make_policy)(
        metric="requests", hard_limit=1, interval="minute", rolling=True
    )
    call_id = await kept(two)
    await approval_needed(two, hard_limit=10**12)
    await execute(two.request(), runtime=two.runtime, settled=True)
    await approval_needed(two)
    await decide()
    await make(call_id)
    assert await status(call_id) == "waiting"
    stored = await KeptCall.objects.aget()
    assert (stored.ended_at, stored.error) == (None, None)
    assert (await Approval.objects.aget()).window_id is None
    await BudgetPolicy.objects.filter(pk=rate.pk).aupdate(hard_limit=2)
    await make(call_id)
    assert await status(call_id) == "succeeded"
    assert (await KeptCall.objects.aget()).answer is not None


async def test_a_stream_that_may_wait_is_kept_as_a_whole_answer(two: TwoProviders) -> None:
    await approval_needed(two)
    request = asked(two)
    request = replace(request, body={**request.body, "stream": True})
    with pytest.raises(CallWaits) as waits:
        await open_stream(request, runtime=two.runtime)
    assert waits.value.call_id is not None
    await decide()
    await make(waits.value.call_id)
    stored = await KeptCall.objects.aget()
    assert stored.answer is not None
    assert stored.answer["body"]["object"] == "chat.completion"
    assert not (await ModelCall.objects.aget()).streamed


async def test_embeddings_are_kept_as_well(two: TwoProviders) -> None:
    @sync_to_async
    def arrange() -> None:
        make_price(make_model(provider=two.first, name="vector", role=ModelRole.EMBEDDINGS))

    await arrange()
    call_id = await kept(two, role="embeddings", body={"model": "vector", "input": ["a", "b"]})
    await decide()
    await make(call_id)
    stored = await KeptCall.objects.aget()
    assert stored.answer is not None
    assert len(stored.answer["body"]["data"]) == 2


async def test_a_rate_that_has_no_room_now_says_when_to_come_again(two: TwoProviders) -> None:
    await approval_needed(
        two, action="block", metric="requests", hard_limit=1, interval="minute", rolling=True
    )
    await execute(two.request(), runtime=two.runtime)
    error = await refusal(two.request(), two)
    assert isinstance(error, RateLimited)
    assert (error.status, error.code, error.retryable) == (429, "rate_limit_exceeded", True)
    assert error.retry_after is not None
    assert 1 <= error.retry_after <= 65


async def test_what_a_rate_never_has_room_for_is_not_to_be_tried_again(two: TwoProviders) -> None:
    await approval_needed(
        two, action="block", metric="tokens", hard_limit=2, interval="minute", rolling=True
    )
    error = await refusal(two.request(), two)
    assert (error.status, error.code, error.retryable) == (402, "budget_exceeded", False)
