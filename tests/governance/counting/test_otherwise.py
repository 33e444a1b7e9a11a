"""What is counted, beside what else budgets and routing do with a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance import calls, snapshot, tokenizers
from governance.calls import execute
from governance.errors import ApprovalRequired
from governance.ledger import AdmissionRequest
from governance.models import GovernanceSettings, ModelCall
from governance.parsed_request import bound_by
from providers.failures import FailureClass
from providers.models import Provider
from tests.governance.counting.asking import (
    INPUT,
    O200K,
    OUTPUT,
    Counted,
    asking,
    limit,
    loose,
    moved,
    tight,
)
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import answer, failure, install
from tests.support.factories import make_policy

pytestmark = pytest.mark.django_db(transaction=True)
DOWN = failure(FailureClass.TRANSIENT_UPSTREAM, http_status=500)


@pytest.mark.parametrize("metric", ["tokens", "input_tokens"])
@pytest.mark.parametrize("rolling", [False, True])
async def test_a_limit_of_tokens_a_minute_is_kept_by_the_count(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch, metric: str, rolling: bool
) -> None:
    install(monkeypatch, first=answer())
    request = asking(openai)
    asked = request.parse()
    bound = bound_by(asked, tokenizers.counter(O200K)) + (100 if metric == "tokens" else 0)
    await sync_to_async(make_policy)(
        metric=metric, interval="minute", rolling=rolling, hard_limit=bound
    )
    await openai.changed()
    await execute(request, runtime=openai.runtime, settled=True)
    row = await openai.row()
    assert bound in [hold["amount"] for hold in row.holds]


async def test_what_is_counted_may_still_have_to_be_shorter(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    await GovernanceSettings.objects.aupdate_or_create(defaults={"output_floor": 10})
    install(monkeypatch, first=answer())
    request = asking(openai)
    paid = tight(openai, request) - 60 * OUTPUT
    await limit(openai, hard_limit=paid)
    await execute(request, runtime=openai.runtime, settled=True)
    row = await openai.row()
    assert (row.estimate_upper, row.output_bound) == (paid, 40)
    assert row.decision["reason_codes"][-2:] == ["input_counted", "output_clamped"]


async def test_counting_comes_before_a_shorter_answer(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    await GovernanceSettings.objects.aupdate_or_create(defaults={"output_floor": 10})
    install(monkeypatch, first=answer())
    request = asking(openai)
    await limit(openai, hard_limit=loose(openai, request) - 1)
    result = await execute(request, runtime=openai.runtime)
    assert result.decision.output_cap == 100
    assert "output_clamped" not in result.decision.reason_codes


async def test_counting_comes_before_a_cheaper_model(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    await moved(openai, openai.second, openai.dear, "gpt-5")
    script, request = install(monkeypatch, second=answer()), asking(openai, "dear")
    await limit(openai, action="degrade", hard_limit=loose(openai, request) - 1)
    result = await execute(request, runtime=openai.runtime)
    assert (script.asked, result.decision.action) == ([("second", "")], "proceed")
    assert await ModelCall.objects.acount() == 1


async def test_a_cheaper_model_is_counted_as_well(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, request = install(monkeypatch, first=answer()), asking(openai, "dear")
    # The name asked for is counted by its bytes, and this one has one less.
    paid = tight(openai, asking(openai, "cheap")) - INPUT
    await limit(openai, action="degrade", hard_limit=paid)
    result = await execute(request, runtime=openai.runtime, settled=True)
    assert (script.asked, result.decision.action) == ([("first", "")], "degrade")
    row = await openai.row()
    assert (row.estimate_upper, row.model) == (paid, "cheap")
    assert row.decision["reason_codes"][-2:] == ["degraded", "input_counted"]


async def test_a_fallback_whose_tokenizer_is_not_known_is_held_for_by_its_bytes(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, first=DOWN, second=answer())
    request = asking(openai)
    await sync_to_async(make_policy)(
        scope="provider", value="first", hard_limit=tight(openai, request)
    )
    await openai.changed()
    result = await execute(request, runtime=openai.runtime, settled=True)
    assert result.provider == "second"
    assert (await openai.row()).estimate_upper == 10 * loose(openai, request)


async def test_a_fallback_that_budgets_refuse_is_counted_in_its_turn(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model chosen cannot be called, so the first to be asked for is a stand-in."""
    await moved(openai, openai.second, openai.dear, "gpt-4o")
    await Provider.objects.filter(pk=openai.first.pk).aupdate(breaker_threshold=1)
    await openai.changed()
    install(monkeypatch, first=DOWN, second=answer())
    await execute(asking(openai), runtime=openai.runtime, settled=True)
    request = asking(openai, temperature=1)
    await sync_to_async(make_policy)(
        scope="provider", value="second", hard_limit=20 * loose(openai, request) - 1
    )
    await openai.changed()
    result = await execute(request, runtime=openai.runtime, settled=True)
    assert result.provider == "second"


async def test_what_is_paid_for_once_it_is_counted_needs_no_approval(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, first=answer())
    request = asking(openai)
    paid = tight(openai, request)
    await limit(openai, action="approval", hard_limit=paid - 1)
    with pytest.raises(ApprovalRequired) as caught:
        await execute(request, runtime=openai.runtime)
    assert caught.value.detail["requested"] is not None
    await limit(openai, action="approval", hard_limit=paid)
    await execute(request, runtime=openai.runtime)


async def test_room_that_comes_after_the_first_answer_is_used_and_written(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused even if counted, it is asked for anew when no cheaper model is found: by then another
    call has ended, and it may be worth counting. It must not end without a row."""
    install(monkeypatch, first=answer())
    request = asking(openai)
    paid = tight(openai, request)
    await limit(openai, action="degrade", hard_limit=paid)
    submit: Callable[..., Any] = openai.runtime.ledger.submit
    asked: list[AdmissionRequest] = []

    def first_without(operation: Any) -> Any:
        if isinstance(operation, AdmissionRequest):
            asked.append(operation)
            if len(asked) == 1:
                operation = _never_worth_counting(operation)
        return submit(operation)

    monkeypatch.setattr(openai.runtime.ledger, "submit", first_without)
    await execute(request, runtime=openai.runtime, settled=True)
    assert len(asked) == 3
    assert (await openai.row()).estimate_upper == paid


def _never_worth_counting(request: AdmissionRequest) -> AdmissionRequest:
    return replace(request, tightest=lambda: None)


@pytest.mark.parametrize(
    ("action", "model", "less", "does"),
    [
        ("block", "cheap", 0, "proceed"),
        ("block", "cheap", 1, "blocked"),
        ("degrade", "dear", 0, "degrade"),
    ],
)
async def test_counting_is_foreseen_without_making_the_call(
    openai: TwoProviders, action: str, model: str, less: int, does: str
) -> None:
    # The name asked for is counted by its bytes.
    paid = tight(openai, asking(openai, "cheap")) + (len(model) - len("cheap")) * INPUT
    await limit(openai, action=action, hard_limit=paid - less)
    foreseen = await sync_to_async(
        lambda: calls.foresee(asking(openai, model), snapshot.load(), timezone.now())
    )()
    decision = foreseen.decision
    assert (decision.action, decision.actual) == (does, "first/cheap")
    assert decision.reason_codes[-1] == "input_counted"
    assert decision.estimate is not None
    assert decision.estimate.upper == paid
    assert foreseen.evaluations[0].requested == paid


async def test_nothing_is_counted_in_thought_where_budgets_have_room(
    openai: TwoProviders, counted: Counted
) -> None:
    await sync_to_async(lambda: calls.foresee(asking(openai), snapshot.load(), timezone.now()))()
    assert counted == []
