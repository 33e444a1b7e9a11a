"""Calls that need approval: asked for, kept until it is decided, and made exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance.calls import execute, open_stream
from governance.errors import (
    ApprovalRequired,
    BudgetBlocked,
    CallWaits,
)
from governance.models import (
    Approval,
    KeptCall,
    ModelCall,
)
from governance.money import decimal_text
from tests.governance import scripted
from tests.governance.kept_calls import (
    NOTHING,
    Told,
    approval_needed,
    asked,
    decide,
    kept,
    make,
    raised,
    refusal,
    status,
)
from tests.governance.scenes import TwoProviders
from tests.support.factories import make_policy, make_price

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
