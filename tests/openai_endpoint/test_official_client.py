"""OpenAI's own client speaks to Palyra, understands every answer, and retries no refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionUserMessageParam

from governance.models import BudgetPolicy
from providers.models import Provider
from tests.openai_endpoint.web import Scene, Web

MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello."}]


class Counted(httpx.AsyncBaseTransport):
    """Counts the requests that the client makes of one call."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return await self.inner.handle_async_request(request)


@pytest.fixture
def counted(web: Web) -> Counted:
    return Counted(web.client._transport)


@pytest_asyncio.fixture
async def client(scene: Scene, counted: Counted) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        api_key=scene.key,
        base_url="http://palyra.test/v1",
        http_client=cast(Any, httpx.AsyncClient(transport=counted)),
    ) as made:
        yield made


async def test_it_reads_an_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="nice", messages=MESSAGES, max_tokens=20)
    assert answer.choices[0].message.content is not None
    assert answer.choices[0].message.content.startswith("You asked: “Hello.”")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20
    assert answer._request_id is not None


async def test_it_lists_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["nice"]
    assert (await client.models.retrieve("here/nice")).id == "nice"


async def test_it_raises_what_it_raises_for_openai(
    client: openai.AsyncOpenAI, counted: Counted
) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="nice", messages=[])
    assert bad.value.param == "messages"
    stranger = client.with_options(api_key="ply_not_known")
    with pytest.raises(openai.AuthenticationError):
        await stranger.chat.completions.create(model="nice", messages=MESSAGES)
    assert counted.requests == 3


async def test_it_does_not_retry_a_budgets_refusal(
    scene: Scene, client: openai.AsyncOpenAI, counted: Counted
) -> None:
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(hard_limit=1)
    with pytest.raises(openai.APIStatusError) as refused:
        await client.chat.completions.create(model="nice", messages=MESSAGES)
    assert refused.value.status_code == 402
    assert refused.value.type == "budget_error"
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["policy"] == "Monthly"
    assert counted.requests == 1


async def test_it_does_not_retry_what_the_provider_may_bill(
    web: Web, client: openai.AsyncOpenAI, counted: Counted
) -> None:
    await Provider.objects.all().aupdate(rehearsal_failure_percent=100)
    await asyncio.to_thread(web.application.runtime.keeper.refresh)
    with pytest.raises(openai.InternalServerError) as failed:
        await client.chat.completions.create(model="nice", messages=MESSAGES)
    assert failed.value.status_code == 502
    assert counted.requests == 1
