"""OpenAI's own client speaks to Palyra, understands every answer, and retries no refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionUserMessageParam

from governance.errors import ProviderFailed
from governance.models import BudgetPolicy
from providers.models import Provider
from tests.openai_endpoint.streams import CALL_ID, LedStream, chunk
from tests.openai_endpoint.web import Scene, ServedWeb, Web

# What a client makes of answers is no matter of databases: once is enough.
pytestmark = pytest.mark.any_database
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


WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


@pytest_asyncio.fixture
async def streaming(scene: Scene, served: ServedWeb) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of a real server, for a stream is whole at once without one."""
    async with openai.AsyncOpenAI(api_key=scene.key, base_url=f"{served.url}/v1") as made:
        yield made


async def test_it_reads_a_stream(streaming: openai.AsyncOpenAI) -> None:
    whole = await streaming.chat.completions.create(model="nice", messages=MESSAGES)
    stream = await streaming.chat.completions.create(
        model="nice", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


async def test_it_gathers_a_stream(streaming: openai.AsyncOpenAI) -> None:
    async with streaming.chat.completions.stream(model="nice", messages=MESSAGES) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.content is not None
    assert completion.choices[0].message.content.startswith("You asked: “Hello.”")


async def test_it_is_given_tools_to_call(streaming: openai.AsyncOpenAI) -> None:
    answer = await streaming.chat.completions.create(
        model="nice", messages=MESSAGES, tools=WEATHER, tool_choice="required"
    )
    call = (answer.choices[0].message.tool_calls or [])[0]
    assert call.type == "function"
    assert call.function.name == "weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    async with streaming.chat.completions.stream(
        model="nice", messages=MESSAGES, tools=WEATHER, tool_choice="required"
    ) as stream:
        streamed = (await stream.get_final_completion()).choices[0]
    assert streamed.finish_reason == "tool_calls"
    same = (streamed.message.tool_calls or [])[0]
    assert same.type == "function"
    assert same.function.arguments == call.function.arguments


async def test_it_makes_embeddings(streaming: openai.AsyncOpenAI) -> None:
    # It asks for base64 by itself, and turns it into numbers.
    usual = await streaming.embeddings.create(model="vector", input=["one", "two"], dimensions=16)
    plain = await streaming.embeddings.create(
        model="vector", input=["one", "two"], dimensions=16, encoding_format="float"
    )
    assert len(usual.data) == 2
    for one, other in zip(usual.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
        assert sum(number * number for number in one.embedding) == pytest.approx(1, abs=1e-4)
    assert usual.usage.prompt_tokens == plain.usage.prompt_tokens


async def test_it_writes_speech_down(streaming: openai.AsyncOpenAI) -> None:
    file = ("talk.wav", b"RIFF" + bytes(32_000), "audio/wav")
    create = streaming.audio.transcriptions.create
    said = (await create(model="scribe", file=file)).text
    assert said
    verbose = await create(
        model="scribe",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert verbose.words
    assert verbose.segments
    assert await create(model="scribe", file=file, response_format="text") == f"{said}"
    assert (await create(model="scribe", file=file, response_format="vtt")).startswith("WEBVTT")
    with pytest.raises(openai.BadRequestError) as refused:
        await create(model="scribe", file=file, stream=True)
    assert refused.value.param == "stream"


async def test_it_raises_for_a_refused_stream(scene: Scene, streaming: openai.AsyncOpenAI) -> None:
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(hard_limit=1)
    with pytest.raises(openai.APIStatusError) as refused:
        await streaming.chat.completions.create(model="nice", messages=MESSAGES, stream=True)
    assert refused.value.status_code == 402


async def test_it_raises_for_a_stream_that_breaks_off(
    scene: Scene, streaming: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    led = LedStream()
    led.put(chunk("Hello"), ProviderFailed("It broke off.", call_id=CALL_ID))

    async def open_stream(_call: Any, **_: Any) -> LedStream:
        return led

    monkeypatch.setattr("palyra_site.openai_endpoint.streaming.open_stream", open_stream)
    said = []
    with pytest.raises(openai.APIError) as broken:
        async for one in await streaming.chat.completions.create(
            model="nice", messages=MESSAGES, stream=True
        ):
            said.append(one.choices[0].delta.content)
    assert said == ["Hello"]
    assert broken.value.message == "It broke off."
    assert (broken.value.type, broken.value.code) == ("provider_error", "provider_failed")


async def test_it_does_not_mind_comments_in_a_stream(
    streaming: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("streaming", "replies"):
        monkeypatch.setattr(f"palyra_site.openai_endpoint.{module}.KEEP_ALIVE_SECONDS", 0.01)
    led = LedStream(cost=7)

    async def open_stream(_call: Any, **_: Any) -> LedStream:
        return led

    monkeypatch.setattr("palyra_site.openai_endpoint.streaming.open_stream", open_stream)
    led.put(chunk("Hello"))
    stream = await streaming.chat.completions.create(model="nice", messages=MESSAGES, stream=True)
    async for one in stream:
        said = one.choices[0].delta.content
        if said == "Hello":
            await asyncio.sleep(0.1)
            led.put(chunk("more"), None)
    assert said == "more"
