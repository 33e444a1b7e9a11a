"""Calls that need approval, or have to wait a moment, as clients of `/v1` see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import httpx
import openai
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from governance import approvals
from governance.models import Approval, BudgetPolicy, BudgetWindow, KeptCall, ModelCall
from tests.openai_endpoint.test_chat import error_of
from tests.openai_endpoint.test_official_client import MESSAGES, Counted
from tests.openai_endpoint.web import Scene, Web

WAIT = {"prefer": "respond-async"}


async def change(scene: Scene, web: Web, **fields: Any) -> None:
    """Change the budget, and have the application know it."""
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(**fields)
    await asyncio.to_thread(web.application.runtime.keeper.refresh)


@pytest_asyncio.fixture
async def strict(scene: Scene, web: Web) -> Scene:
    """The budget pays for nothing without approval."""
    await change(scene, web, action="approval", hard_limit=1)
    return scene


async def chat(web: Web, headers: dict[str, str], **body: Any) -> httpx.Response:
    return await web.client.post("/v1/chat/completions", json=web.asked(**body), headers=headers)


@sync_to_async
def decide(approve: bool = True) -> None:
    boss, _ = User.objects.get_or_create(username="boss", is_superuser=True)
    approval = Approval.objects.get(status="pending")
    approvals.decide(
        approval_id=approval.pk,
        decided_by=boss,
        approve=approve,
        comment="",
        now=timezone.now(),
    )


async def test_without_approval_the_answer_says_which_is_lacking(strict: Scene, web: Web) -> None:
    response = await chat(web, {})
    error = error_of(response)
    approval = await Approval.objects.aget()
    assert response.status_code == 402
    assert (error["type"], error["code"]) == ("budget_error", "approval_required")
    assert error["approval"] == str(approval.pk)
    assert error["approval_url"] == f"/api/v1/approvals/{approval.pk}"
    assert (approval.api_key_id, approval.requested_by_id) == (strict.key_id, None)
    headers = response.headers
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers
    assert headers["x-palyra-call-id"] == error["call_id"] == str(approval.call_id)
    assert headers["x-palyra-model"] == "here/nice"
    assert Decimal(headers["x-palyra-cost"]) == 0
    assert headers["x-palyra-budget-remaining"].endswith("; cost")


async def test_the_address_of_the_approval_can_be_read_with_the_key(
    strict: Scene, web: Web
) -> None:
    address = error_of(await chat(web, {}))["approval_url"]
    assert (await web.client.get(address)).json()["status"] == "pending"
    await decide()
    assert (await web.client.get(address)).json()["status"] == "approved"


async def test_the_call_may_be_repeated_once_with_what_was_approved(
    strict: Scene, web: Web
) -> None:
    given = {"x-palyra-approval": error_of(await chat(web, {}))["approval"]}
    assert (await chat(web, given)).status_code == 402
    await decide()
    response = await chat(web, given)
    assert response.status_code == 200
    assert (await chat(web, given)).status_code == 402
    await web.stop()
    window = await BudgetWindow.objects.aget()
    assert window.consumed == window.raised_by > 0
    assert window.held == 0


async def test_a_call_that_may_wait_is_taken_and_says_where_its_answer_will_be(
    strict: Scene, web: Web
) -> None:
    response = await chat(web, WAIT)
    body, headers = response.json(), response.headers
    approval = await Approval.objects.aget()
    call_id = UUID(body["call_id"])
    assert response.status_code == 202
    assert (body["object"], body["status"]) == ("palyra.kept_call", "waiting")
    assert body["approval"] == str(approval.pk)
    assert body["answer_url"] == f"/api/v1/calls/{call_id}/answer" == headers["location"]
    assert headers["preference-applied"] == "respond-async"
    assert headers["content-type"] == "application/json"
    assert headers["x-palyra-call-id"] == str(call_id)
    assert "x-should-retry" not in headers
    answer = (await web.client.get(body["answer_url"])).json()
    assert answer == {
        "call_id": str(call_id),
        "status": "waiting",
        "ended_at": None,
        "answer": None,
        "error": None,
    }
    await decide(approve=False)
    answer = (await web.client.get(body["answer_url"])).json()
    assert answer["status"] == "denied"
    assert answer["error"]["code"] == "denied"


async def test_a_stream_that_may_wait_is_taken_as_well(strict: Scene, web: Web) -> None:
    response = await chat(web, WAIT, stream=True)
    assert response.status_code == 202
    assert (await KeptCall.objects.aget()).pk == UUID(response.json()["call_id"])


async def test_a_call_that_needs_no_approval_does_not_wait(scene: Scene, web: Web) -> None:
    response = await chat(web, WAIT)
    assert response.status_code == 200
    assert "preference-applied" not in response.headers
    assert not await KeptCall.objects.aexists()


async def test_speech_is_not_kept(every_role: Scene, strict: Scene, web: Web) -> None:
    await asyncio.to_thread(web.application.runtime.keeper.refresh)
    response = await web.client.post(
        "/v1/audio/transcriptions",
        data={"model": "scribe"},
        files={"file": ("talk.wav", b"RIFF" + bytes(32_000), "audio/wav")},
        headers=WAIT,
    )
    assert response.status_code == 402
    assert error_of(response)["code"] == "approval_required"
    assert (await web.call()).status == "blocked"
    assert not await KeptCall.objects.aexists()


async def test_a_rate_without_room_says_when_there_is_some(scene: Scene, web: Web) -> None:
    await change(scene, web, metric="requests", interval="minute", rolling=True, hard_limit=1)
    assert (await chat(web, {})).status_code == 200
    response = await chat(web, {})
    error = error_of(response)
    assert response.status_code == 429
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert 1 <= int(response.headers["retry-after"]) <= 65
    assert "x-should-retry" not in response.headers


async def test_what_is_larger_than_the_rate_is_not_to_be_tried_again(
    scene: Scene, web: Web
) -> None:
    await change(scene, web, metric="tokens", interval="minute", rolling=True, hard_limit=3)
    response = await chat(web, {})
    assert response.status_code == 402
    assert response.headers["x-should-retry"] == "false"
    assert "retry-after" not in response.headers


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x-palyra-session", "x" * 129),
        ("x-palyra-routing-mode", "cheapest"),
        ("x-palyra-approval", "yes"),
    ],
)
async def test_a_header_at_fault_is_named_and_nothing_stored(
    web: Web, name: str, text: str
) -> None:
    response = await chat(web, {name: text})
    assert response.status_code == 400
    assert error_of(response)["param"] == name
    assert not await ModelCall.objects.aexists()


async def test_what_a_call_says_of_itself_is_in_the_ledger(web: Web) -> None:
    await chat(web, {"x-palyra-session": "invoices", "x-palyra-routing-mode": "dry_run"})
    row = await web.call()
    assert (row.session, row.routing_mode) == ("invoices", "dry_run")


@pytest.fixture
def counted(web: Web) -> Counted:
    return Counted(web.client._transport)


@pytest_asyncio.fixture
async def client(scene: Scene, counted: Counted) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        api_key=scene.key,
        base_url="http://palyra.test/v1",
        max_retries=0,
        http_client=cast(Any, httpx.AsyncClient(transport=counted)),
    ) as made:
        yield made


async def test_the_official_client_knows_a_rate_limit(
    scene: Scene, web: Web, client: openai.AsyncOpenAI
) -> None:
    await change(scene, web, metric="requests", interval="minute", rolling=True, hard_limit=1)
    await client.chat.completions.create(model="nice", messages=MESSAGES)
    with pytest.raises(openai.RateLimitError) as limited:
        await client.chat.completions.create(model="nice", messages=MESSAGES)
    assert limited.value.code == "rate_limit_exceeded"
    assert int(limited.value.response.headers["retry-after"]) >= 1


async def test_the_official_client_is_not_to_retry_without_approval(
    strict: Scene, client: openai.AsyncOpenAI, counted: Counted
) -> None:
    retrying = client.with_options(max_retries=2)
    with pytest.raises(openai.APIStatusError) as refused:
        await retrying.chat.completions.create(model="nice", messages=MESSAGES)
    assert (refused.value.status_code, refused.value.code) == (402, "approval_required")
    assert counted.requests == 1
    assert isinstance(refused.value.body, dict)
    await decide()
    answer = await client.chat.completions.create(
        model="nice",
        messages=MESSAGES,
        extra_headers={"x-palyra-approval": str(refused.value.body["approval"])},
    )
    assert answer.choices[0].message.content


async def test_the_official_client_is_told_of_a_kept_call(
    strict: Scene, client: openai.AsyncOpenAI
) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="nice", messages=MESSAGES, extra_headers=WAIT
    )
    assert raw.status_code == 202
    assert raw.headers["location"].endswith("/answer")
