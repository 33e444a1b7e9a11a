"""Calls that go on elsewhere: held for before each attempt, charged for what was done, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from governance.calls import execute
from governance.errors import (
    ProviderFailed,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimedOut,
    ProviderUnavailable,
)
from governance.models import BudgetPolicy, ModelCall, Price
from providers.breakers import trip
from providers.failures import FailureClass
from providers.models import FailoverPolicy, Provider
from providers.requests import ModelRequest
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import answer, failure, install
from tests.support.factories import make_credential, make_model, make_provider, make_secret

pytestmark = pytest.mark.django_db(transaction=True)
DOWN = failure(FailureClass.TRANSIENT_UPSTREAM, http_status=500)
SLOW = failure(FailureClass.PROVIDER_TIMEOUT, may_be_billed=True)


def tried(row: ModelCall) -> list[tuple[str, str]]:
    return [(one["provider"], one["outcome"]) for one in row.attempts]


async def test_a_call_goes_on_at_another_provider_and_is_charged_there(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, first=DOWN, second=answer())
    result = await execute(two.request(), runtime=two.runtime, settled=True)
    row = await two.row()
    assert (result.provider, result.model) == ("second", "dear")
    assert tried(row) == [("first", "failed")] * 3 + [("second", "answered")]
    assert (row.provider, row.model, row.status) == ("second", "dear", "succeeded")
    assert row.cost == result.cost == 10 * 10_000 + 5 * 20_000
    assert row.price_id == (await Price.objects.aget(model=two.dear)).pk
    assert row.decision["actual"] == "first/cheap"
    assert row.decision["fallbacks"] == ["second/dear"]
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_dearer_fallback_is_held_for_before_it_is_asked(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    async def look(request: ModelRequest) -> Any:
        row = await ModelCall.objects.aget()
        _, seen["held"], _ = await two.counters()
        seen["upper"], seen["price"] = row.estimate_upper, row.price_id
        return answer()

    install(monkeypatch, first=DOWN, second=look)
    await execute(two.request(max_tokens=100), runtime=two.runtime)
    assert seen["held"] == seen["upper"] > 100 * 20_000
    assert seen["price"] == (await Price.objects.aget(model=two.dear)).pk


async def test_a_fallback_the_budget_does_not_pay_for_is_passed_over(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=DOWN, second=answer())
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(hard_limit=1_000_000)
    with pytest.raises(ProviderFailed) as caught:
        await execute(two.request(max_tokens=100), runtime=two.runtime, settled=True)
    row = await two.row()
    assert {name for name, _ in script.asked} == {"first"}
    assert tried(row)[-1] == ("second", "skipped")
    assert "“Monthly” allows" in row.attempts[-1]["message"]
    assert caught.value.detail["failure_class"] == "transient_upstream"
    assert (row.status, row.cost) == ("failed", 0)
    assert await two.counters() == (0, 0, 0)


async def test_what_a_failed_attempt_may_be_billed_is_held_and_charged_with_the_next(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    async def look(request: ModelRequest) -> Any:
        held.append((await two.counters())[1])
        return answer()

    install(monkeypatch, first=SLOW, second=look)
    result = await execute(two.request(), runtime=two.runtime, settled=True)
    row = await two.row()
    lost = row.decision["estimate"]["expected"]
    assert row.cost == result.cost == lost + 10 * 10_000 + 5 * 20_000
    assert held == [row.estimate_upper]
    assert row.estimate_upper is not None
    assert row.estimate_upper > lost
    assert not row.usage_reported
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_failure_that_may_be_billed_is_charged_as_expected(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, first=SLOW, second=DOWN)
    with pytest.raises(ProviderFailed):
        await execute(two.request(), runtime=two.runtime, settled=True)
    row = await two.row()
    assert (row.status, row.cost) == ("failed", row.decision["estimate"]["expected"])
    assert await two.counters() == (row.cost, 0, 0)


@pytest.mark.parametrize(
    ("outcome", "kind", "status"),
    [
        (DOWN, ProviderFailed, 502),
        (SLOW, ProviderTimedOut, 504),
        (failure(FailureClass.RATE_LIMITED, retry_after=90.0), ProviderRateLimited, 429),
        (failure(FailureClass.AUTH_INVALID, http_status=401), ProviderFailed, 502),
        (
            failure(FailureClass.PERMANENT_UPSTREAM, http_status=413, callers_fault=True),
            ProviderRefused,
            413,
        ),
        (
            failure(FailureClass.CONTEXT_WINDOW_EXCEEDED, http_status=400, callers_fault=True),
            ProviderRefused,
            400,
        ),
    ],
)
async def test_a_pinned_call_goes_nowhere_else_and_says_what_happened(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch, outcome: Any, kind: Any, status: int
) -> None:
    script = install(monkeypatch, first=outcome, second=answer())
    with pytest.raises(kind) as caught:
        await execute(two.request("cheap"), runtime=two.runtime)
    assert {name for name, _ in script.asked} == {"first"}
    assert caught.value.status == status
    assert not caught.value.retryable
    assert (caught.value.retry_after is not None) == (status == 429)


async def test_the_callers_own_fault_is_tried_once_and_nowhere_else(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = failure(FailureClass.PERMANENT_UPSTREAM, http_status=400, callers_fault=True)
    script = install(monkeypatch, first=fault, second=answer())
    with pytest.raises(ProviderRefused):
        await execute(two.request(), runtime=two.runtime)
    assert script.asked == [("first", "")]


async def test_failover_can_be_switched_off_and_reach_pinned_calls(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=DOWN, second=answer())
    await sync_to_async(FailoverPolicy(pinned=True).save)()
    await two.changed()
    assert (await execute(two.request("cheap"), runtime=two.runtime)).model == "dear"
    await FailoverPolicy.objects.all().aupdate(enabled=False)
    await two.changed()
    script.asked.clear()
    with pytest.raises(ProviderFailed):
        await execute(two.request(), runtime=two.runtime)
    assert {name for name, _ in script.asked} == {"first"}


async def test_a_provider_whose_breaker_is_open_is_passed_over(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=answer(), second=answer())
    await hold_back(two, two.first)
    result = await execute(two.request(), runtime=two.runtime, settled=True)
    row = await two.row()
    assert result.provider == "second"
    assert script.asked == [("second", "")]
    assert tried(row) == [("first", "skipped"), ("second", "answered")]


async def test_a_call_that_no_provider_can_take_is_on_record_and_free(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=answer(), second=answer())
    await hold_back(two, two.first, two.second)
    with pytest.raises(ProviderUnavailable) as caught:
        await execute(two.request(), runtime=two.runtime)
    row = await two.row()
    assert script.asked == []
    assert (row.pk, row.status, row.cost) == (caught.value.call_id, "failed", 0)
    assert tried(row) == [("first", "skipped"), ("second", "skipped")]
    assert caught.value.retryable
    assert "nothing was sent" in caught.value.message


async def hold_back(two: TwoProviders, *providers: Provider) -> None:
    for provider in providers:
        await sync_to_async(trip)(provider.pk, [None], by="tests")
    await asyncio.to_thread(two.runtime.providers.breakers.refresh)


async def test_a_stand_in_without_a_price_is_passed_over_for_one_with(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = await sync_to_async(make_provider)(name="a-third", retry_backoff_ms=1)
    await sync_to_async(make_model)(provider=third, name="unpriced", cost_tier=1)
    await two.changed()
    script = install(monkeypatch, **{"first": answer(), "a-third": answer(), "second": answer()})
    await hold_back(two, two.first)
    result = await execute(two.request(), runtime=two.runtime, settled=True)
    row = await two.row()
    assert (result.provider, script.asked) == ("second", [("second", "")])
    assert tried(row) == [("first", "skipped"), ("a-third", "skipped"), ("second", "answered")]
    assert "no price" in row.attempts[1]["message"]
    assert await two.counters() == (row.cost, 0, 0)


async def test_stand_ins_that_no_budget_pays_for_leave_the_call_unmade(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=answer(), second=answer())
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(hard_limit=1_000_000)
    await hold_back(two, two.first)
    with pytest.raises(ProviderUnavailable) as caught:
        await execute(two.request(max_tokens=100), runtime=two.runtime)
    row = await two.row()
    assert script.asked == []
    assert (row.pk, row.status, row.cost) == (caught.value.call_id, "failed", 0)
    assert tried(row) == [("first", "skipped"), ("second", "skipped")]
    assert "“Monthly” allows" in caught.value.message
    assert await two.counters() == (0, 0, 0)


class Busy:
    """A provider with one place, and a call that keeps it until it is told to end."""

    def __init__(self) -> None:
        self.began, self.may_end = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: ModelRequest) -> Any:
        self.began.set()
        await self.may_end.wait()
        return answer()


async def limit(two: TwoProviders, provider: Provider) -> None:
    await Provider.objects.filter(pk=provider.pk).aupdate(concurrency_limit=1)
    await two.changed()


async def test_a_call_waits_for_a_place_and_takes_it_when_it_is_free(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Busy()
    install(monkeypatch, first=[busy, answer("Second.")], second=answer())
    await limit(two, two.first)
    one = asyncio.create_task(execute(two.request("cheap"), runtime=two.runtime))
    await busy.began.wait()
    other = asyncio.create_task(execute(two.request("cheap"), runtime=two.runtime))
    while two.runtime.lease_line.waiting(two.first.pk) == 0:
        await asyncio.sleep(0)
    busy.may_end.set()
    assert (await one).text == "Yes."
    assert (await other).text == "Second."
    await two.runtime.stop()
    assert (await two.counters())[1:] == (0, 0)


async def test_a_call_that_finds_no_place_goes_elsewhere_or_is_told_so(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Busy()
    install(monkeypatch, first=busy, second=answer())
    await limit(two, two.first)
    one = asyncio.create_task(execute(two.request("cheap"), runtime=two.runtime))
    await busy.began.wait()
    assert (await execute(two.request(), runtime=two.runtime)).provider == "second"
    with pytest.raises(ProviderUnavailable) as caught:
        await execute(two.request("cheap"), runtime=two.runtime)
    assert "as many calls under way as it may have" in caught.value.message
    busy.may_end.set()
    await one
    await two.runtime.stop()
    assert (await two.counters())[1:] == (0, 0)


async def test_a_call_cancelled_in_its_second_attempt_is_charged_for_what_was_sent(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Busy()
    install(monkeypatch, first=DOWN, second=busy)
    task = asyncio.create_task(execute(two.request(), runtime=two.runtime))
    await busy.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await two.row()
    assert tried(row) == [("first", "failed")] * 3 + [("second", "broken_off")]
    assert (row.status, row.provider, row.cost) == ("cancelled", "second", row.estimate_expected)
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_fallbacks_credentials_take_turns(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = install(monkeypatch, first=DOWN, second=answer())
    for name in ("one", "other"):
        secret = await sync_to_async(make_secret)(name=name)
        await sync_to_async(make_credential)(provider=two.second, secret=secret)
    await two.changed()
    for _ in range(4):
        await execute(two.request(), runtime=two.runtime)
    used = [credential for name, credential in script.asked if name == "second"]
    assert sorted(used) == ["one", "one", "other", "other"]
