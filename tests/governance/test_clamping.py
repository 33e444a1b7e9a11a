"""Budgets that pay for a part of an answer: it is made as long as they pay for, to the token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance.calls import Caller, CallRequest, execute, open_stream
from governance.calls.planning import plan
from governance.errors import BudgetBlocked
from governance.models import BudgetPolicy, GovernanceSettings, ModelCall
from governance.money import dollars_text
from governance.transcription_request import TranscriptionForm
from providers.failures import FailureClass
from providers.models import ModelRole, Provider
from providers.requests import ChatRequest, ModelRequest
from providers.response_cache import CacheUse
from providers.usage import Usage
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import (
    Script,
    ScriptedStream,
    answer,
    failure,
    install,
    piece,
)
from tests.support.factories import make_model, make_policy, make_price, make_provider

pytestmark = pytest.mark.django_db(transaction=True)
ASKED, FLOOR = 99, 10
# Nano-dollars for each output token of the cheap model.
A_TOKEN = 2_000
DOWN = failure(FailureClass.TRANSIENT_UPSTREAM, http_status=500)


@pytest_asyncio.fixture
async def clamping(two: TwoProviders) -> TwoProviders:
    """The two providers, where ten tokens of output are worth asking for."""
    await GovernanceSettings.objects.aupdate_or_create(defaults={"output_floor": FLOOR})
    await two.changed()
    return two


class Caps:
    """Scripted providers that keep the output caps they were asked for, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **outcomes: Any) -> None:
        self.seen: list[int] = []
        scripted = {name: self._noting(one) for name, one in outcomes.items()}
        self.script: Script = install(monkeypatch, **scripted)

    def _noting(self, outcome: Any) -> Any:
        def note(request: ModelRequest) -> Any:
            assert isinstance(request, ChatRequest)
            self.seen.append(request.output_cap)
            return outcome

        return note


def most(two: TwoProviders, request: CallRequest, cap: int) -> int:
    """What the call may cost at the cheap model with that output cap for each choice."""
    decision = plan(request, two.runtime.snapshot, timezone.now()).route.decision
    assert decision.estimate is not None
    choices: int = request.body.get("n", 1)
    upper: int = decision.estimate.upper
    return upper - (decision.output_cap - cap) * choices * A_TOKEN


async def pays_for(two: TwoProviders, amount: int) -> None:
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(hard_limit=amount)


@pytest.mark.parametrize("beyond", [0, 1, A_TOKEN - 1])
@pytest.mark.parametrize("cap", [FLOOR, 40, ASKED - 1])
async def test_the_largest_cap_that_is_paid_for_is_asked_for(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch, cap: int, beyond: int
) -> None:
    caps, request = Caps(monkeypatch, first=answer()), clamping.request(max_tokens=ASKED)
    paid = most(clamping, request, cap)
    # One more token would not fit.
    await pays_for(clamping, paid + beyond)

    result = await execute(request, runtime=clamping.runtime, settled=True)

    row = await clamping.row()
    assert caps.seen == [cap]
    assert (row.estimate_upper, row.output_bound) == (paid, cap)
    assert [hold["amount"] for hold in row.holds] == [paid]
    assert row.evaluations[0]["requested"] == paid
    assert row.decision["output_cap"] == result.decision.output_cap == cap
    assert row.decision["estimate"]["upper"] == paid
    assert row.decision["reason_codes"][-1] == "output_clamped"
    assert row.decision["explanation"][-1] == (
        f"The budgets pay for no more than {cap} of the {ASKED} output tokens that first/cheap was "
        f"asked for, so it is asked for that many, which cost up to {dollars_text(paid)}."
    )
    assert await clamping.counters() == (row.cost, 0, 0)


async def test_what_is_paid_for_whole_is_not_cut(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps, request = Caps(monkeypatch, first=answer()), clamping.request(max_tokens=ASKED)
    await pays_for(clamping, most(clamping, request, ASKED))
    result = await execute(request, runtime=clamping.runtime)
    assert caps.seen == [ASKED]
    assert "output_clamped" not in result.decision.reason_codes


async def test_below_the_floor_the_call_is_blocked(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps, request = Caps(monkeypatch, first=answer()), clamping.request(max_tokens=ASKED)
    await pays_for(clamping, most(clamping, request, FLOOR) - 1)
    with pytest.raises(BudgetBlocked) as caught:
        await execute(request, runtime=clamping.runtime)
    row = await clamping.row()
    assert (caught.value.status, row.status) == (402, "blocked")
    assert caps.seen == []
    # It is refused what it asked for, and not what it might have been given.
    assert row.evaluations[0]["requested"] == most(clamping, request, ASKED)
    assert row.decision["output_cap"] == ASKED
    assert row.holds == []


@pytest.mark.parametrize("asked", [FLOOR - 1, FLOOR])
async def test_an_answer_that_is_no_longer_than_the_floor_is_never_cut(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    caps, request = Caps(monkeypatch, first=answer()), clamping.request(max_tokens=asked)
    await pays_for(clamping, most(clamping, request, asked) - 1)
    with pytest.raises(BudgetBlocked):
        await execute(request, runtime=clamping.runtime)
    await pays_for(clamping, most(clamping, request, asked))
    await execute(request, runtime=clamping.runtime)
    assert caps.seen == [asked]


async def test_every_choice_is_cut_alike(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps = Caps(monkeypatch, first=answer())
    request = clamping.request(max_tokens=ASKED, n=3)
    paid = most(clamping, request, 40)
    await pays_for(clamping, paid + 3 * A_TOKEN - 1)
    await execute(request, runtime=clamping.runtime, settled=True)
    row = await clamping.row()
    assert caps.seen == [40]
    assert (row.estimate_upper, row.output_bound) == (paid, 120)


async def test_a_stream_is_cut_as_well(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedStream([piece("Good morning")], usage=Usage(uncached_input=20, output=7))
    caps = Caps(monkeypatch, first=source)
    request = clamping.request(max_tokens=ASKED, stream=True)
    paid = most(clamping, request, 40)
    await pays_for(clamping, paid)
    stream = await open_stream(request, runtime=clamping.runtime)
    assert "output_clamped" in stream.decision.reason_codes
    row = await ModelCall.objects.aget()
    assert (row.estimate_upper, [hold["amount"] for hold in row.holds]) == (paid, [paid])
    assert [chunk async for chunk in stream]
    await stream.aclose()
    assert caps.seen == [40]
    assert await counters(clamping) == (20 * 1000 + 7 * A_TOKEN, 0, 0)


async def counters(two: TwoProviders) -> tuple[int, int, int]:
    await two.runtime.stop()
    return await two.counters()


async def test_what_is_set_aside_for_thinking_is_not_cut(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps = Caps(monkeypatch, first=answer())
    thinking = {"type": "enabled", "budget_tokens": 60}
    request = clamping.request(max_tokens=ASKED, thinking=thinking)
    await pays_for(clamping, most(clamping, request, 60))
    with pytest.raises(BudgetBlocked):
        await execute(request, runtime=clamping.runtime)
    await pays_for(clamping, most(clamping, request, 61))
    await execute(request, runtime=clamping.runtime)
    assert caps.seen == [61]


async def test_a_shortened_answer_is_not_kept_for_others(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps = Caps(monkeypatch, first=answer())
    await Provider.objects.filter(pk=clamping.first.pk).aupdate(cache_seconds=300)
    await clamping.changed()
    request = replace(clamping.request(max_tokens=ASKED), cache=CacheUse.ASKED)
    await pays_for(clamping, most(clamping, request, 40))
    shortened = await execute(request, runtime=clamping.runtime, settled=True)
    await pays_for(clamping, 10**9)
    whole = await execute(request, runtime=clamping.runtime, settled=True)
    kept = await execute(request, runtime=clamping.runtime, settled=True)
    assert [one.cached for one in (shortened, whole, kept)] == [False, False, True]
    assert caps.seen == [40, ASKED]


async def test_a_fallback_is_asked_for_no_more(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes of the call in the end does not depend on where it goes on."""
    caps, request = Caps(monkeypatch, first=DOWN, second=answer()), clamping.request(max_tokens=99)
    await sync_to_async(make_policy)(
        scope="provider", value="first", hard_limit=most(clamping, request, 40)
    )
    result = await execute(request, runtime=clamping.runtime, settled=True)
    row = await clamping.row()
    assert result.provider == "second"
    assert caps.seen == [40] * 4
    assert (row.output_bound, row.decision["output_cap"]) == (40, 40)
    assert row.estimate_upper == 10 * most(clamping, request, 40)
    assert await clamping.counters() == (row.cost, 0, 0)


@pytest.mark.parametrize("metric", ["tokens", "output_tokens"])
@pytest.mark.parametrize("rolling", [False, True])
async def test_a_limit_of_tokens_a_minute_cuts_as_well(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch, metric: str, rolling: bool
) -> None:
    caps, request = Caps(monkeypatch, first=answer()), clamping.request(max_tokens=ASKED)
    whole = token_bound(request, metric)
    await sync_to_async(make_policy)(
        metric=metric, interval="minute", rolling=rolling, hard_limit=whole - 59
    )
    result = await execute(request, runtime=clamping.runtime, settled=True)
    assert caps.seen == [40]
    assert result.decision.output_cap == 40


def token_bound(request: CallRequest, metric: str) -> int:
    """The most tokens that the request may take, as asked."""
    entered = request.parse().input_bound if metric == "tokens" else 0
    return entered + ASKED


async def test_the_tightest_of_several_budgets_decides(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps, request = Caps(monkeypatch, first=answer()), clamping.request(max_tokens=ASKED)
    await pays_for(clamping, most(clamping, request, 70))
    await sync_to_async(make_policy)(metric="output_tokens", scope="global", hard_limit=30)
    await sync_to_async(make_policy)(hard_limit=most(clamping, request, 50))
    await execute(request, runtime=clamping.runtime)
    assert caps.seen == [30]


@pytest.mark.parametrize("metric", ["requests", "input_tokens"])
async def test_where_a_shorter_answer_is_no_help_the_call_is_blocked(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    caps = Caps(monkeypatch, first=answer())
    await sync_to_async(make_policy)(metric=metric, hard_limit=0)
    with pytest.raises(BudgetBlocked):
        await execute(clamping.request(max_tokens=ASKED), runtime=clamping.runtime)
    assert caps.seen == []
    assert (await clamping.row()).decision["output_cap"] == ASKED


async def test_a_budget_that_only_alerts_cuts_nothing(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    caps, request = Caps(monkeypatch, first=answer()), clamping.request(max_tokens=ASKED)
    await BudgetPolicy.objects.filter(pk=clamping.policy.pk).aupdate(hard_limit=1, action="alert")
    await execute(request, runtime=clamping.runtime)
    assert caps.seen == [ASKED]


@pytest.mark.parametrize("role", [ModelRole.EMBEDDINGS, ModelRole.AUDIO_TRANSCRIPTION])
async def test_what_is_no_answer_is_never_cut(
    clamping: TwoProviders, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    script = install(monkeypatch, third=answer())
    await sync_to_async(_model_of)(role)
    await clamping.changed()
    request = _request(clamping, role)
    decision = plan(request, clamping.runtime.snapshot, timezone.now()).route.decision
    assert decision.estimate is not None
    await pays_for(clamping, decision.estimate.upper - 1)
    with pytest.raises(BudgetBlocked):
        await execute(request, runtime=clamping.runtime)
    assert script.asked == []


def _model_of(role: str) -> None:
    provider = make_provider(name="third")
    make_price(make_model(provider=provider, name="other", role=role, max_output_tokens=1000))


def _request(two: TwoProviders, role: str) -> CallRequest:
    body: Any = {"model": "other", "input": "Some words to embed."}
    if role == ModelRole.AUDIO_TRANSCRIPTION:
        body = TranscriptionForm(
            fields=(("model", "other"),),
            filename="talk.wav",
            content_type="audio/wav",
            audio=b"RIFF" * 1000,
        )
    caller = Caller(team_id=two.team.pk, surface="openai")
    return CallRequest(caller=caller, body=body, role=role)
