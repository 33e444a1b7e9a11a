"""Budgets that would rather have a call at a cheaper model than not at all."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance import calls, snapshot
from governance.calls import execute, open_stream
from governance.errors import BudgetBlocked
from governance.models import BudgetWindow, GovernanceSettings, ModelCall
from tests.governance.scenes import TwoProviders

# Of “hello”, with at most 100 tokens of output: between what the cheap and the dear model may cost.
BETWEEN = 1_000_000


async def limit(two: TwoProviders, **fields: object) -> None:
    await type(two.policy).objects.filter(pk=two.policy.pk).aupdate(**fields)
    await two.changed()


async def test_a_call_goes_to_the_cheaper_model_that_the_budget_pays_for(
    two: TwoProviders,
) -> None:
    await limit(two, action="degrade", hard_limit=BETWEEN)
    result = await execute(two.request("dear"), runtime=two.runtime)
    assert (result.model, result.decision.action) == ("cheap", "degrade")
    assert result.decision.recommended
    row = await two.row()
    assert (row.provider, row.model, row.status) == ("first", "cheap", "succeeded")
    assert row.decision["actual"] == "first/cheap"
    assert row.decision["budget"] == "ok"
    assert "degraded" in row.decision["reason_codes"]
    said = row.decision["explanation"][-1]
    assert said.startswith("“Monthly” allows $0.001;")
    assert said.endswith("So the cheaper first/cheap is used in place of second/dear.")
    assert await ModelCall.objects.acount() == 1


async def test_a_stream_is_degraded_as_well(two: TwoProviders) -> None:
    await limit(two, action="degrade", hard_limit=BETWEEN)
    stream = await open_stream(two.request("dear"), runtime=two.runtime)
    async for _ in stream:
        pass
    await stream.aclose()
    assert (await two.row()).model == "cheap"


async def test_what_the_budget_pays_for_stays_where_it_is(two: TwoProviders) -> None:
    await limit(two, action="degrade", hard_limit=10**9)
    await execute(two.request("dear"), runtime=two.runtime)
    row = await two.row()
    assert (row.model, row.decision["action"]) == ("dear", "proceed")


async def test_where_no_model_is_cheap_enough_the_call_is_blocked_once(two: TwoProviders) -> None:
    await limit(two, action="degrade", hard_limit=10)
    with pytest.raises(BudgetBlocked):
        await execute(two.request("dear"), runtime=two.runtime)
    row = await two.row()
    assert (row.status, row.model, row.decision["action"]) == ("blocked", "dear", "blocked")
    assert row.decision["budget"] == "blocked"


async def test_another_budget_that_blocks_has_the_last_word(two: TwoProviders) -> None:
    await limit(two, action="degrade", hard_limit=BETWEEN)
    blocking = type(two.policy)(name="Hard", hard_limit=BETWEEN)
    await blocking.asave()
    await two.changed()
    with pytest.raises(BudgetBlocked):
        await execute(two.request("dear"), runtime=two.runtime)
    assert (await two.row()).status == "blocked"


async def test_a_model_the_team_may_not_use_is_not_degraded_to(two: TwoProviders) -> None:
    await limit(two, action="degrade", hard_limit=BETWEEN)
    two.team.allowed_models = ["second/*"]
    await two.team.asave()
    await two.changed()
    with pytest.raises(BudgetBlocked):
        await execute(two.request("dear"), runtime=two.runtime)


@pytest.mark.parametrize(
    ("fields", "action", "model", "budget"),
    [
        ({"action": "degrade", "hard_limit": BETWEEN}, "degrade", "first/cheap", "ok"),
        ({"action": "block", "hard_limit": BETWEEN}, "blocked", "second/dear", "blocked"),
        (
            {"action": "approval", "hard_limit": BETWEEN},
            "approval_required",
            "second/dear",
            "approval_required",
        ),
        ({"action": "alert", "hard_limit": BETWEEN}, "proceed", "second/dear", "hard_limit"),
        ({"action": "block", "hard_limit": 10**9}, "proceed", "second/dear", "ok"),
    ],
)
async def test_what_becomes_of_a_call_is_foreseen_without_making_it(
    two: TwoProviders, fields: dict[str, object], action: str, model: str, budget: str
) -> None:
    await limit(two, **fields)
    foreseen = await sync_to_async(
        lambda: calls.foresee(two.request("dear"), snapshot.load(), timezone.now())
    )()
    decision = foreseen.decision
    assert (decision.action, decision.actual, decision.budget) == (action, model, budget)
    assert [said.policy for said in foreseen.evaluations] == ["Monthly"]
    assert await ModelCall.objects.acount() == 0
    assert await BudgetWindow.objects.acount() == 0


async def test_what_was_used_before_the_budget_was_made_is_foreseen_too(
    two: TwoProviders,
) -> None:
    await execute(two.request("dear"), runtime=two.runtime, settled=True)
    row = await ModelCall.objects.aget()
    assert row.cost
    later = type(two.policy)(name="Later", hard_limit=row.cost)
    await later.asave()
    foreseen = await sync_to_async(
        lambda: calls.foresee(two.request("dear"), snapshot.load(), timezone.now())
    )()
    said = {one.policy: (one.consumed, one.outcome) for one in foreseen.evaluations}
    assert said == {"Monthly": (row.cost, "ok"), "Later": (row.cost, "blocked")}


async def test_a_shorter_answer_is_foreseen(two: TwoProviders) -> None:
    await GovernanceSettings.objects.all().adelete()
    await GovernanceSettings(output_floor=10).asave()
    await limit(two, hard_limit=2_000_000)
    foreseen = await sync_to_async(
        lambda: calls.foresee(two.request("dear"), snapshot.load(), timezone.now())
    )()
    result = await execute(two.request("dear"), runtime=two.runtime)
    assert foreseen.decision.output_cap == result.decision.output_cap < 100
    assert "output_clamped" in result.decision.reason_codes
