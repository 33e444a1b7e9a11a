"""Calls whose bytes are more than budgets pay for, and whose tokens are not: counted, then made."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from governance.calls import Caller, CallRequest, counting, execute, open_stream
from governance.errors import BudgetBlocked
from governance.models import ModelCall
from providers.models import ModelRole, Provider, ProviderKind, ProviderModel
from providers.usage import Usage
from tests.governance.counting.asking import (
    INPUT,
    O200K,
    OPENAI,
    OUTPUT,
    PROSE,
    Counted,
    asking,
    limit,
    loose,
    tight,
)
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import ScriptedStream, answer, install, piece
from tests.support.factories import make_model, make_price, make_remote

pytestmark = pytest.mark.django_db(transaction=True)


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
