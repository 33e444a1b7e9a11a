"""`POST /v1/chat/completions`: OpenAI's shape, the call's row, and every refusal."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from asgiref.sync import sync_to_async

from governance.errors import LedgerUnavailable
from governance.ledger import LedgerWriter
from governance.models import BudgetPolicy, BudgetWindow, ModelCall, Price
from palyra_site.openai_endpoint import application, handlers
from providers.models import Provider
from tests.openai_endpoint.web import Scene, Web, running


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object, which always has OpenAI's four fields."""
    error: dict[str, Any] = response.json()["error"]
    assert response.headers["content-type"] == "application/json"
    assert {"message", "type", "param", "code"} <= set(error)
    return error


async def test_an_answer_is_a_chat_completion(web: Web) -> None:
    response = await web.chat(max_tokens=20)
    assert response.status_code == 200
    body = response.json()
    assert (body["object"], body["model"]) == ("chat.completion", "nice")
    assert body["choices"][0]["message"]["content"].startswith("You asked: “Hello.”")
    assert body["usage"]["completion_tokens"] == 20
    assert body["choices"][0]["finish_reason"] == "length"


async def test_what_palyra_knows_of_it_is_in_the_headers(scene: Scene, web: Web) -> None:
    response = await web.chat(max_tokens=20)
    usage = response.json()["usage"]
    cost = usage["prompt_tokens"] * 1000 + 20 * 2000
    headers = response.headers
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(response.content))
    assert UUID(headers["x-request-id"]).version == 7
    assert headers["x-palyra-model"] == "here/nice"
    assert Decimal(headers["x-palyra-cost"]) == Decimal(cost) / 10**9
    left, _, metric = headers["x-palyra-budget-remaining"].partition("; ")
    row = await web.call()
    assert str(row.pk) == headers["x-palyra-call-id"]
    assert row.estimate_upper is not None
    assert (metric, Decimal(left)) == ("cost", 1 - Decimal(row.estimate_upper) / 10**9)


async def test_the_call_is_in_the_ledger(scene: Scene, web: Web) -> None:
    response = await web.chat(max_tokens=20)
    usage = response.json()["usage"]
    row = await web.call()
    assert (row.status, row.surface, row.task_class) == (
        "succeeded",
        "openai",
        "primary_interactive",
    )
    assert (row.team_id, row.api_key_id, row.user_id) == (scene.team.pk, scene.key_id, None)
    assert (row.requested_model, row.provider, row.model) == ("nice", "here", "nice")
    assert (row.uncached_input_tokens, row.output_tokens) == (usage["prompt_tokens"], 20)
    assert row.usage_reported
    assert row.cost == usage["prompt_tokens"] * 1000 + 20 * 2000
    assert row.decision["actual"] == "here/nice"
    assert [said["policy"] for said in row.evaluations] == ["Monthly"]
    window = await BudgetWindow.objects.aget()
    assert (window.consumed, window.held) == (row.cost, 0)


async def test_auto_is_the_default_model(web: Web) -> None:
    response = await web.chat(model="auto")
    assert response.json()["model"] == "nice"
    assert (await web.call()).requested_model == "auto"


async def test_without_a_budget_or_a_price_nothing_is_claimed(scene: Scene) -> None:
    await BudgetPolicy.objects.all().adelete()
    await Price.objects.all().adelete()
    async with running(scene.key) as web:
        headers = (await web.chat()).headers
    assert "x-palyra-cost" not in headers
    assert "x-palyra-budget-remaining" not in headers


NOT_OBJECTS = [
    b"",
    b"{",
    b"{'model': 'nice'}",
    b'{"model": "\xff"}',
    b'{"model": NaN}',
    b"[]",
    b"null",
    b'"text"',
    b"[" * 100_000,
]


async def test_a_body_that_is_no_json_object_is_refused(web: Web) -> None:
    for body in NOT_OBJECTS:
        response = await web.client.post("/v1/chat/completions", content=body)
        error = error_of(response)
        assert response.status_code == 400, body[:20]
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
        assert error["message"].startswith("The request body")
    assert not await ModelCall.objects.aexists()


AT_FAULT: list[tuple[dict[str, Any], int, str, str]] = [
    ({"messages": []}, 400, "invalid_request", "messages"),
    ({"messages": [{"role": []}]}, 400, "invalid_request", "messages[0]"),
    ({"max_tokens": 0}, 400, "invalid_request", "max_tokens"),
    ({"n": 17}, 400, "invalid_request", "n"),
    ({"stream": "yes"}, 400, "invalid_request", "stream"),
    ({"stream": 1}, 400, "invalid_request", "stream"),
    ({"model": ""}, 400, "invalid_request", "model"),
    ({"model": "x" * 201}, 400, "invalid_request", "model"),
    ({"model": "nobody"}, 404, "model_not_found", "model"),
    ({"model": "nobody/nice"}, 404, "model_not_found", "model"),
    ({"model": "nice\u0000"}, 404, "model_not_found", "model"),
]


async def test_a_request_at_fault_names_the_field_and_stores_nothing(web: Web) -> None:
    for body, status, code, param in AT_FAULT:
        response = await web.chat(**body)
        error = error_of(response)
        assert (response.status_code, error["code"], error["param"]) == (status, code, param)
        assert error["type"] == "invalid_request_error"
        assert response.headers["x-should-retry"] == "false"
    assert not await ModelCall.objects.aexists()


async def test_without_any_model_the_answer_is_that_there_is_none(scene: Scene) -> None:
    await Provider.objects.all().aupdate(enabled=False)
    async with running(scene.key) as web:
        response = await web.chat()
    assert response.status_code == 404
    assert "no chat model is enabled yet" in error_of(response)["message"]


async def test_a_budget_refusal_tells_all_its_figures(scene: Scene, web: Web) -> None:
    used = (await web.chat(max_tokens=20)).headers["x-palyra-cost"]
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(hard_limit=200_000)

    response = await web.chat(max_tokens=20)
    error = error_of(response)
    assert response.status_code == 402
    assert response.headers["x-should-retry"] == "false"
    assert "retry-after" not in response.headers
    assert (error["type"], error["code"]) == ("budget_error", "budget_exceeded")
    assert (error["policy"], error["scope"], error["metric"]) == ("Monthly", "team", "cost")
    assert (error["limit"], error["held"]) == ("0.000200000", "0.000000000")
    assert error["consumed"] == used
    assert Decimal(used) + Decimal(error["requested"]) > Decimal(error["limit"])
    assert error["resets_at"].endswith("-01T00:00:00+00:00")
    assert error["message"].startswith("“Monthly” allows $0.0002; with ")

    assert response.headers["x-palyra-call-id"] == error["call_id"]
    await web.stop()
    row = await ModelCall.objects.aget(pk=error["call_id"])
    assert (row.status, row.cost, row.holds) == ("blocked", None, [])
    assert row.error == error["message"]


async def test_an_unpriced_model_under_a_cost_budget_is_refused(scene: Scene) -> None:
    await Price.objects.all().adelete()
    async with running(scene.key) as web:
        response = await web.chat()
        error = error_of(response)
    assert response.status_code == 402
    assert (error["type"], error["code"]) == ("budget_error", "unpriced_model")
    assert (error["requested"], error["limit"]) == (None, "1.000000000")
    assert "no price" in error["message"]


async def test_a_providers_failure_says_what_kind(scene: Scene) -> None:
    await Provider.objects.all().aupdate(rehearsal_failure_percent=100)
    async with running(scene.key) as web:
        response = await web.chat()
        error = error_of(response)
        row = await web.call()
    assert response.status_code == 502
    assert response.headers["x-should-retry"] == "false"
    assert (error["type"], error["code"]) == ("provider_error", "provider_failed")
    assert (error["failure_class"], error["provider"]) == ("transient_upstream", "here")
    assert error["upstream_status"] == 503
    assert error["call_id"] == str(row.pk) == response.headers["x-palyra-call-id"]
    assert (row.status, row.cost) == ("failed", 0)


async def test_a_ledger_that_cannot_be_written_may_be_tried_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: LedgerWriter, _operation: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(LedgerUnavailable("The ledger cannot be written now."))
        return future

    with monkeypatch.context() as broken:
        broken.setattr(LedgerWriter, "submit", fail)
        response = await web.chat()
    error = error_of(response)
    assert response.status_code == 503
    assert (error["type"], error["code"]) == ("server_error", "ledger_unavailable")
    assert response.headers["retry-after"] == "1"
    assert "x-should-retry" not in response.headers


async def test_a_fault_of_our_own_shows_nothing_but_a_number_for_the_log(
    web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(handlers, "execute", broken)
    response = await web.chat()
    error = error_of(response)
    assert response.status_code == 500
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert response.headers["x-request-id"] in error["message"]
    assert "a secret detail" not in response.text
    assert "Traceback" not in response.text
    (logged,) = [record for record in caplog.records if record.name == application.__name__]
    assert response.headers["x-request-id"] in logged.getMessage()
    assert logged.exc_info is not None


async def test_concurrent_calls_never_pass_the_limit(scene: Scene, web: Web) -> None:
    await sync_to_async(_limit_requests)(scene)
    responses = await asyncio.gather(*(web.chat() for _ in range(20)))
    statuses = [response.status_code for response in responses]
    assert sorted(statuses) == [200] * 7 + [402] * 13


def _limit_requests(scene: Scene) -> None:
    BudgetPolicy.objects.create(name="Seven", team=scene.team, metric="requests", hard_limit=7)
