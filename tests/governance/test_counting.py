"""Calls whose bytes are more than budgets pay for, and whose tokens are not: counted, then made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance import calls, snapshot, tokenizers
from governance.calls import Caller, CallRequest, counting, execute, open_stream
from governance.calls.planning import CallPlan, Spending, plan
from governance.errors import ApprovalRequired, BudgetBlocked
from governance.ledger import AdmissionRequest
from governance.models import BudgetPolicy, GovernanceSettings, ModelCall
from governance.parsed_request import bound_by
from providers.failures import FailureClass
from providers.models import ModelRole, Provider, ProviderKind, ProviderModel
from providers.usage import Usage
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import ScriptedStream, answer, failure, install, piece
from tests.support.factories import make_model, make_policy, make_price, make_remote

pytestmark = pytest.mark.django_db(transaction=True)
OPENAI = "https://api.openai.com/v1"
O200K = "o200k_base"
# Nano-dollars for each token of the cheap model.
INPUT, OUTPUT = 1_000, 2_000
PROSE = "The quick brown fox jumps over the lazy dog, and nobody is surprised by that. " * 40
DOWN = failure(FailureClass.TRANSIENT_UPSTREAM, http_status=500)
Counted = list[str]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The vocabularies that texts were counted by, in turn."""
    seen: Counted = []
    counter = tokenizers.counter

    def noting(encoding: str) -> tokenizers.Count:
        seen.append(encoding)
        return counter(encoding)

    monkeypatch.setattr(tokenizers, "counter", noting)
    return seen


@pytest_asyncio.fixture
async def openai(two: TwoProviders) -> TwoProviders:
    """The two providers, where the first, and cheap, one is OpenAI, and the other somewhere."""
    await _moved(two, two.second, two.dear, "gpt-4o", base_url="https://llm.example.com/v1")
    await _moved(two, two.first, two.cheap, "gpt-4o")
    return two


async def _moved(
    two: TwoProviders,
    provider: Provider,
    model: ProviderModel,
    name: str,
    base_url: str = OPENAI,
) -> None:
    await Provider.objects.filter(pk=provider.pk).aupdate(
        kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base_url
    )
    await ProviderModel.objects.filter(pk=model.pk).aupdate(upstream_name=name)
    await two.changed()


async def limit(two: TwoProviders, **fields: Any) -> None:
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(**fields)
    await two.changed()


def asking(two: TwoProviders, model: str = "auto", **body: Any) -> CallRequest:
    return two.request(model, messages=[{"role": "user", "content": PROSE}], **body)


def planned(two: TwoProviders, request: CallRequest) -> CallPlan:
    return plan(request, two.runtime.snapshot, timezone.now())


def loose(two: TwoProviders, request: CallRequest) -> int:
    """What the call may cost as its bytes bound it."""
    cost = Spending(planned(two, request).route.chosen).demand.cost
    assert cost is not None
    return cost


def tight(two: TwoProviders, request: CallRequest, encoding: str = O200K) -> int:
    """What it may cost as its tokens are counted."""
    asked = planned(two, request).asked
    saved = asked.input_bound - bound_by(asked, tokenizers.counter(encoding))
    assert saved > 1000
    return loose(two, request) - saved * INPUT


async def test_a_call_is_made_that_is_paid_for_once_it_is_counted(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, request = install(monkeypatch, first=answer()), asking(openai)
    paid = tight(openai, request)
    await limit(openai, hard_limit=paid)

    result = await execute(request, runtime=openai.runtime, settled=True)

    row = await openai.row()
    assert script.asked == [("first", "")]
    assert (row.status, row.estimate_upper, row.output_bound) == ("succeeded", paid, 100)
    assert [hold["amount"] for hold in row.holds] == [paid]
    assert row.evaluations[0]["requested"] == paid
    bound = request.parse().input_bound
    assert row.token_bound == bound - (loose(openai, request) - paid) // INPUT + 100
    assert row.decision["estimate"]["upper"] == paid
    assert row.decision["action"] == "proceed"
    assert row.decision["reason_codes"][-1] == "input_counted"
    assert result.decision.explanation[-1] == (
        "The budgets do not pay for as many input tokens as the request has bytes at most, "
        f"{bound:,}, so its texts were counted as first/cheap does: it has at most "
        f"{row.token_bound - 100:,}."
    )
    assert await openai.counters() == (row.cost, 0, 0)


async def test_one_nano_dollar_less_does_not_pay_for_it(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, request = install(monkeypatch, first=answer()), asking(openai)
    paid = tight(openai, request)
    await limit(openai, hard_limit=paid - 1)
    with pytest.raises(BudgetBlocked):
        await execute(request, runtime=openai.runtime)
    row = await openai.row()
    assert script.asked == []
    assert (row.status, row.holds, row.decision["action"]) == ("blocked", [], "blocked")
    # It is refused what it really asks for.
    assert row.evaluations[0]["requested"] == row.estimate_upper == paid
    assert "input_counted" in row.decision["reason_codes"]
    assert await ModelCall.objects.acount() == 1


async def test_nothing_is_counted_where_budgets_have_room(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    install(monkeypatch, first=answer())
    request = asking(openai)
    await limit(openai, hard_limit=loose(openai, request))
    result = await execute(request, runtime=openai.runtime)
    assert counted == []
    assert "input_counted" not in result.decision.reason_codes


async def test_nothing_is_counted_where_it_could_not_help(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    install(monkeypatch, first=answer())
    request = asking(openai)
    await limit(openai, hard_limit=100 * OUTPUT)
    with pytest.raises(BudgetBlocked):
        await execute(request, runtime=openai.runtime)
    row = await openai.row()
    assert counted == []
    assert row.estimate_upper == loose(openai, request)
    assert "input_counted" not in row.decision["reason_codes"]


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ({"base_url": "https://llm.example.com/v1"}, {}),
        ({"base_url": "https://ours.openai.azure.com/openai/v1"}, {}),
        ({"kind": ProviderKind.DETERMINISTIC, "base_url": ""}, {}),
        ({}, {"upstream_name": "gpt-unknown"}),
        ({}, {"upstream_name": "gpt-4o-search-preview"}),
    ],
)
async def test_where_no_tokenizer_is_known_for_sure_it_is_blocked_as_its_bytes_bound_it(
    openai: TwoProviders,
    monkeypatch: pytest.MonkeyPatch,
    counted: Counted,
    provider: dict[str, Any],
    model: dict[str, Any],
) -> None:
    script, request = install(monkeypatch, first=answer()), asking(openai)
    upper = loose(openai, request)
    await Provider.objects.filter(pk=openai.first.pk).aupdate(**{"name": "first", **provider})
    await ProviderModel.objects.filter(pk=openai.cheap.pk).aupdate(**{"name": "cheap", **model})
    await limit(openai, hard_limit=upper - 1)
    with pytest.raises(BudgetBlocked):
        await execute(request, runtime=openai.runtime)
    assert script.asked == []
    assert counted == []
    assert (await openai.row()).evaluations[0]["requested"] == upper


async def test_a_text_that_is_too_long_is_not_counted(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    monkeypatch.setattr(counting, "LARGEST_COUNTED", len(PROSE))
    install(monkeypatch, first=answer())
    request, longer = asking(openai), asking(openai)
    longer.body["messages"].append({"role": "user", "content": "And?"})
    await limit(openai, hard_limit=loose(openai, longer) - 1)
    with pytest.raises(BudgetBlocked):
        await execute(longer, runtime=openai.runtime)
    assert counted == []
    await limit(openai, hard_limit=loose(openai, request) - 1)
    await execute(request, runtime=openai.runtime)
    assert counted == [O200K]


async def test_what_is_expected_is_never_more_than_what_is_held(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spaces have far more bytes to a token than most texts; where the host does not say what it
    used, what is expected is charged."""
    install(monkeypatch, first=answer(usage=None))
    request = openai.request(messages=[{"role": "user", "content": " " * 10_000}])
    paid = tight(openai, request)
    await limit(openai, hard_limit=paid)
    await execute(request, runtime=openai.runtime, settled=True)
    row = await openai.row()
    assert row.estimate_expected is not None
    assert row.cost is not None
    assert row.estimate_expected <= paid == row.estimate_upper
    assert [hold["expected"] <= paid == hold["amount"] for hold in row.holds] == [True]
    assert 0 < row.cost <= paid
    assert await openai.counters() == (row.cost, 0, 0)


async def test_a_stream_is_counted_as_well(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedStream([piece("Yes.")], usage=Usage(uncached_input=20, output=7))
    install(monkeypatch, first=source)
    request = asking(openai, stream=True)
    paid = tight(openai, request)
    await limit(openai, hard_limit=paid)
    stream = await open_stream(request, runtime=openai.runtime)
    assert "input_counted" in stream.decision.reason_codes
    assert [chunk async for chunk in stream]
    await stream.aclose()
    assert (await openai.row()).estimate_upper == paid


async def test_embeddings_are_counted_as_well(
    openai: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, third=answer())
    await sync_to_async(_embedding)()
    await openai.changed()
    caller = Caller(team_id=openai.team.pk, surface="openai")
    body = {"model": "vector", "input": [PROSE, "hello"]}
    request = CallRequest(caller=caller, body=body, role=ModelRole.EMBEDDINGS)
    paid = tight(openai, request, "cl100k_base")
    await limit(openai, hard_limit=paid - 1)
    with pytest.raises(BudgetBlocked):
        await execute(request, runtime=openai.runtime)
    await limit(openai, hard_limit=paid)
    await execute(request, runtime=openai.runtime, settled=True)
    assert script.asked == [("third", "")]
    row = await ModelCall.objects.aget(status="succeeded")
    assert (row.estimate_upper, [hold["amount"] for hold in row.holds]) == (paid, [paid])


def _embedding() -> None:
    provider = make_remote(name="third", base_url=OPENAI)
    make_price(
        make_model(
            provider=provider,
            name="vector",
            upstream_name="text-embedding-3-small",
            role=ModelRole.EMBEDDINGS,
        )
    )


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
    await _moved(openai, openai.second, openai.dear, "gpt-5")
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
    await _moved(openai, openai.second, openai.dear, "gpt-4o")
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
