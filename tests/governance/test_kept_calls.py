"""Calls that need approval: asked for, kept until it is decided, and made exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from governance import kept_calls
from governance.calls import execute, open_stream
from governance.errors import (
    ApprovalRequired,
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
from governance.money import decimal_text
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


async def test_a_refused_call_says_which_approval_it_lacks(two: TwoProviders) -> None:
    await approval_needed(two)
    error = await refusal(two.request(), two)
    assert isinstance(error, ApprovalRequired)
    assert (error.status, error.code, error.retryable) == (402, "approval_required", False)
    approval = await Approval.objects.aget()
    assert error.detail["approval"] == str(approval.pk)
    assert error.detail["approval_url"] == f"/api/v1/approvals/{approval.pk}"
    assert error.detail["approvals"] == [
        {
            "id": str(approval.pk),
            "url": f"/api/v1/approvals/{approval.pk}",
            "policy": "Monthly",
        }
    ]
    assert (approval.status, approval.until, approval.call_id) == ("pending", "call", error.call_id)
    assert (approval.team_id, approval.policy_id) == (two.team.pk, two.policy.pk)
    assert approval.scope_value == str(two.team.pk)
    row = await two.row()
    assert approval.amount == row.estimate_upper
    assert (row.status, row.decision["action"]) == ("blocked", "approval_required")
    assert error.tightest is not None
    assert not await KeptCall.objects.aexists()


async def test_asking_again_does_not_ask_twice(two: TwoProviders) -> None:
    await approval_needed(two)
    first, second = [await refusal(two.request(), two) for _ in range(2)]
    assert first.detail["approval"] == second.detail["approval"]
    assert first.call_id != second.call_id
    # One that needs more asks for more.
    larger = await refusal(two.request(messages=[{"role": "user", "content": "a" * 900}]), two)
    assert larger.detail["approval"] != first.detail["approval"]
    assert await Approval.objects.acount() == 2


async def test_another_budget_that_blocks_asks_for_nothing(two: TwoProviders) -> None:
    await sync_to_async(make_policy)(name="Hard", hard_limit=NOTHING)
    await approval_needed(two)
    error = await refusal(asked(two), two)
    assert isinstance(error, BudgetBlocked)
    assert error.code == "budget_exceeded"
    assert not await Approval.objects.aexists()
    assert (await two.row()).status == "blocked"


async def test_what_is_approved_lets_the_call_through_once(two: TwoProviders) -> None:
    await approval_needed(two)
    error = await refusal(two.request(), two)
    given = (UUID(error.detail["approval"]),)
    again = replace(two.request(), approvals=given)
    assert isinstance(await refusal(again, two), ApprovalRequired)
    await decide()
    result = await execute(again, runtime=two.runtime, settled=True)
    assert result.cost
    assert await raised(two) == (result.cost, 0, result.cost)
    assert isinstance(await refusal(again, two), ApprovalRequired)


async def test_a_stream_is_let_through_as_well(two: TwoProviders) -> None:
    await approval_needed(two)
    with pytest.raises(ApprovalRequired) as refused:
        await open_stream(two.request(), runtime=two.runtime)
    await decide()
    request = replace(two.request(), approvals=(UUID(refused.value.detail["approval"]),))
    opened = await open_stream(request, runtime=two.runtime)
    async for _ in opened:
        pass
    await opened.aclose()
    assert (await Approval.objects.aget()).window_id is not None


async def test_a_call_that_may_wait_is_kept(two: TwoProviders, told: Told) -> None:
    await approval_needed(two)
    error = await refusal(asked(two, task_class="auxiliary_summary", routing_mode="suggest"), two)
    assert isinstance(error, CallWaits)
    assert (error.status, error.code) == (202, "waiting_for_approval")
    assert error.detail["answer_url"] == f"/api/v1/calls/{error.call_id}/answer"
    row = await ModelCall.objects.aget()
    assert (row.pk, row.status, row.settled_at) == (error.call_id, "waiting", None)
    stored = await KeptCall.objects.aget()
    assert (stored.pk, stored.team_id, stored.ended_at) == (row.pk, two.team.pk, None)
    assert stored.request is not None
    assert stored.request["body"] == two.request().body
    assert stored.request["task_class"] == "auxiliary_summary"
    assert stored.request["caller"]["team_id"] == two.team.pk
    assert stored.expires_at - stored.created_at == timedelta(days=7)
    assert told.calls == []


async def test_each_kept_call_asks_for_itself(two: TwoProviders) -> None:
    first, second = [await kept(two) for _ in range(2)]
    found = Approval.objects.values_list("call_id", flat=True)
    assert {one async for one in found} == {first, second}
    # And nobody else's request is taken for one of those.
    error = await refusal(two.request(), two)
    approval = await Approval.objects.aget(pk=error.detail["approval"])
    assert approval.call_id == error.call_id


async def test_once_approved_it_is_made_once_and_its_answer_kept(
    two: TwoProviders, told: Told
) -> None:
    call_id = await kept(two)
    await decide()
    assert told.calls == [call_id]
    await make(call_id)
    row = await ModelCall.objects.aget()
    assert (row.pk, row.status, row.role) == (call_id, "succeeded", "chat")
    stored = await KeptCall.objects.aget()
    assert stored.request is None
    assert stored.ended_at is not None
    assert stored.error is None
    assert stored.answer is not None
    assert stored.answer["body"]["choices"][0]["message"]["content"].startswith("You asked:")
    assert (stored.answer["model"], stored.answer["cost"]) == (
        "first/cheap",
        decimal_text(row.cost or 0),
    )
    assert stored.expires_at - stored.ended_at == timedelta(days=1)
    assert await raised(two) == (row.cost, 0, row.cost)
    approval = await Approval.objects.aget()
    assert approval.window_id is not None


async def test_told_twice_it_is_made_once(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripted.install(monkeypatch, first=scripted.answer())
    call_id = await kept(two)
    await decide()
    await make(call_id)
    stored = await KeptCall.objects.aget()
    await make(call_id)
    assert len(script.asked) == 1
    assert (await KeptCall.objects.aget()).ended_at == stored.ended_at
    assert await ModelCall.objects.acount() == 1


async def test_told_several_times_at_once_it_is_made_once(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripted.install(monkeypatch, first=scripted.answer())
    call_id = await kept(two)
    await decide()
    await make(*[call_id] * 4)
    assert len(script.asked) == 1
    assert await status(call_id) == "succeeded"
    assert (await KeptCall.objects.aget()).answer is not None


async def test_before_everything_it_lacks_is_approved_it_is_not_made(
    two: TwoProviders, told: Told
) -> None:
    other = await sync_to_async(make_policy)(
        name="Tokens", metric="tokens", hard_limit=NOTHING, action="approval"
    )
    call_id = await kept(two)
    assert await Approval.objects.acount() == 2
    await decide(policy=two.policy)
    assert told.calls == []
    await decide(policy=other)
    assert told.calls == [call_id]
    await make(call_id)
    assert await status(call_id) == "succeeded"


async def test_told_too_early_it_is_not_made(two: TwoProviders) -> None:
    call_id = await kept(two)
    await make(call_id)
    assert await status(call_id) == "waiting"
    assert (await KeptCall.objects.aget()).ended_at is None


async def test_what_was_approved_may_be_too_little_when_it_is_made(two: TwoProviders) -> None:
    call_id = await kept(two, body=two.request("cheap").body)
    await sync_to_async(make_price)(
        two.cheap, uncached_input=10**12, output=10**12, effective_from=timezone.now()
    )
    await decide()
    await make(call_id)
    assert await status(call_id) == "blocked"
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert (stored.error["status"], stored.error["code"]) == (402, "approval_required")
    # What it lacks now may be approved for whoever asks again.
    await decide()
    again = replace(two.request("cheap"), approvals=(UUID(stored.error["detail"]["approval"]),))
    await two.changed()
    assert (await execute(again, runtime=two.runtime)).model == "cheap"


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
