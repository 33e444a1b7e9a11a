"""OpenAI's own client against Palyra as it is run, whatever the provider behind it speaks.

The same tests for a provider of OpenAI's kind and one of Anthropic's. What Anthropic has no models
for, embeddings and transcription, goes to the models that are the default for their role.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.support.arrangements import TeamWithKey, limit_team, make_team
from tests.support.client import Person
from tests.support.completions import USE_THE_TOOL, answer_text, vector_of
from tests.support.faults import Behaviour, Fault
from tests.support.palyra import Palyra, start_palyra
from tests.support.processes import eventually
from tests.support.records import Call
from tests.support.upstream import Received, Upstream, start_upstream

# What a client makes of answers is no matter of databases: once is enough.
pytestmark = [pytest.mark.processes, pytest.mark.any_database]
KINDS = ("openai_compatible", "anthropic")
TEAM, BUDGET = "official", "Official's cost"
EMBEDDINGS, TRANSCRIPTION = "upstream-embedding", "upstream-transcription"
QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather like?"},
]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
ARGUMENTS = {"city": "upstream", "days": 7}


@dataclass(frozen=True, slots=True)
class Scene:
    """Palyra with a provider of every kind, all of them the one upstream."""

    palyra: Palyra
    upstream: Upstream
    team: TeamWithKey

    def call(self, model: str) -> Call:
        """The last call of a model, once it is settled and nothing is held for it."""
        records = self.palyra.records
        calls = eventually(
            lambda: records.calls(model=model),
            lambda calls: bool(calls) and all(call.status != "in_flight" for call in calls),
            what=f"the call of {model} is settled",
        )
        assert records.held() == 0
        return calls[-1]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with start_upstream() as upstream, start_palyra() as palyra:
        administrator = palyra.administrator()
        _register(administrator, "openai_compatible", upstream.base_url)
        _register(administrator, "anthropic", upstream.anthropic_base_url)
        for name, role in ((EMBEDDINGS, "embeddings"), (TRANSCRIPTION, "audio_transcription")):
            _make_default(administrator, role, name)
        team = make_team(administrator, TEAM)
        limit_team(administrator, TEAM, metric="cost", hard_limit="100", name=BUDGET)
        administrator.close()
        yield Scene(palyra, upstream, team)


def _register(administrator: Person, kind: str, base_url: str) -> None:
    administrator.post(
        "/providers",
        {
            "name": kind.replace("_", "-"),
            "kind": kind,
            "base_url": base_url,
            "allow_private_base_url": True,
            "credentials": [{"secret": f"sk-of-the-{kind}-provider"}],
        },
    )
    _model(administrator, kind, kind)


def _make_default(administrator: Person, role: str, name: str) -> None:
    """The default for a role, in place of the one that a new Palyra comes with."""
    for model in administrator.get("/models")["items"]:
        if model["role"] == role and model["is_default"]:
            administrator.request("PATCH", f"/models/{model['id']}", {"is_default": False})
    _model(administrator, "openai_compatible", name, role=role, is_default=True)


def _model(administrator: Person, kind: str, name: str, **fields: Any) -> None:
    model = administrator.post(
        f"/providers/{kind.replace('_', '-')}/models",
        {"name": name, "max_output_tokens": 900, **fields},
    )
    administrator.post("/prices", {"model": model["id"], "uncached_input": "1", "output": "2"})


@pytest.fixture
def client(scene: Scene) -> Iterator[openai.OpenAI]:
    for model in (*KINDS, EMBEDDINGS, TRANSCRIPTION):
        scene.upstream.behave(model, Behaviour())
    scene.upstream.forget()
    with openai.OpenAI(
        api_key=scene.team.key, base_url=f"{scene.palyra.base_url}/v1", max_retries=0
    ) as client:
        yield client


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> str:
    """The chat model of a provider of each kind; it is named for the kind."""
    return str(request.param)


def only_request(scene: Scene, model: str) -> Received:
    (received,) = scene.upstream.received(model)
    assert received.path.startswith("/anthropic/") == (model == "anthropic")
    assert received.credential == f"sk-of-the-{model}-provider"
    return received


def cost_of(prompt: int, completion: int) -> int:
    return 1000 * prompt + 2000 * completion


def test_chat(scene: Scene, client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=70, temperature=0.5, stop=["THE END"]
    )
    received = only_request(scene, model)
    usage = received.usage()
    assert answer.model == model
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == answer_text({"messages": QUESTION}, usage)
    assert received.asked.cap == 70
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        usage.prompt,
        usage.completion,
    )
    call = scene.call(model)
    assert (call.status, call.usage_reported) == ("succeeded", True)
    assert call.cost == cost_of(usage.prompt, usage.completion)


def test_an_answer_that_reaches_its_cap(scene: Scene, client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=1)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None and answer.usage.completion_tokens == 1


def test_stream(scene: Scene, client: openai.OpenAI, model: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    usage = only_request(scene, model).usage()
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    text = "".join(choice.delta.content or "" for choice in choices)
    assert text == answer_text({"messages": QUESTION}, usage)
    assert len(choices) > 5
    assert choices[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert {chunk.model for chunk in chunks} == {model}
    assert len({chunk.id for chunk in chunks}) == 1
    last = chunks[-1].usage
    assert last is not None
    assert (last.prompt_tokens, last.completion_tokens) == (usage.prompt, usage.completion)
    assert scene.call(model).cost == cost_of(usage.prompt, usage.completion)


def test_a_stream_has_no_usage_unasked_and_is_charged_all_the_same(
    scene: Scene, client: openai.OpenAI, model: str
) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=QUESTION, stream=True))
    usage = only_request(scene, model).usage()
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    call = scene.call(model)
    assert call.usage_reported
    assert call.cost == cost_of(usage.prompt, usage.completion)


def test_caches_and_reasoning(scene: Scene, client: openai.OpenAI, model: str) -> None:
    told = Behaviour(cache_read=40, cache_write_5m=30, reasoning_tokens=20)
    scene.upstream.behave(model, told)
    answer = client.chat.completions.create(model=model, messages=QUESTION)
    usage = only_request(scene, model).usage(told)
    assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens == usage.prompt
    assert answer.usage.prompt_tokens_details.cached_tokens == 40
    assert answer.usage.completion_tokens == usage.completion
    extra = answer.choices[0].message.model_extra
    assert extra and extra["reasoning_content"]
    ((uncached, read, written),) = scene.palyra.records.rows(
        "SELECT uncached_input_tokens, cache_read_tokens, cache_write_5m_tokens"
        " FROM governance_modelcall WHERE id = ?",
        [scene.call(model).id],
    )
    assert (uncached, read, written) == (usage.prompt - 70, 40, 30)


def test_tools_in_two_turns(scene: Scene, client: openai.OpenAI, model: str) -> None:
    first = client.chat.completions.create(
        model=model, messages=QUESTION, tools=[WEATHER], tool_choice="required"
    )
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    (call,) = calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", ARGUMENTS)
    scene.upstream.forget()

    turn: Any = first.choices[0].message.model_dump(exclude_none=True)
    result: ChatCompletionMessageParam = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": "Rain for seven days.",
    }
    second = client.chat.completions.create(
        model=model, messages=[*QUESTION, turn, result], tools=[WEATHER]
    )
    received = only_request(scene, model)
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content
    assert received.asked.text.endswith("Rain for seven days.")


def test_tools_in_two_streamed_turns(scene: Scene, client: openai.OpenAI, model: str) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": USE_THE_TOOL}]
    with client.chat.completions.stream(model=model, messages=asked, tools=[WEATHER]) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = message.tool_calls
    assert calls is not None
    (call,) = calls
    assert json.loads(call.function.arguments) == ARGUMENTS

    turn: Any = message.model_dump(exclude_none=True, exclude={"parsed"})
    for one in turn["tool_calls"]:
        one["function"].pop("parsed_arguments", None)
    result: ChatCompletionMessageParam = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": "Rain.",
    }
    with client.chat.completions.stream(
        model=model, messages=[*asked, turn, result], tools=[WEATHER]
    ) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "stop"
    assert final.message.content


@pytest.mark.parametrize("name", ["auto", EMBEDDINGS])
def test_embeddings(scene: Scene, client: openai.OpenAI, model: str, name: str) -> None:
    # Not the same twice, or the second would be answered from the first.
    inputs = ["one", f"{model} and {name}"]
    answer = client.embeddings.create(model=name, input=inputs)
    usage = only_request_of(scene, EMBEDDINGS).usage()
    assert [entry.embedding for entry in answer.data] == [
        pytest.approx(vector_of(text), abs=1e-6) for text in inputs
    ]
    assert answer.model == EMBEDDINGS
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == usage.prompt
    assert scene.call(EMBEDDINGS).cost == cost_of(usage.prompt, 0)


@pytest.mark.parametrize("name", ["auto", TRANSCRIPTION])
def test_transcription(scene: Scene, client: openai.OpenAI, model: str, name: str) -> None:
    sound = f"{model} and {name}".encode().ljust(20_000, b"!")
    speech = ("speech.wav", sound, "audio/wav")
    answer = client.audio.transcriptions.create(model=name, file=speech, language="en")
    received = only_request_of(scene, TRANSCRIPTION)
    assert answer.text == "The upstream heard 20000 bytes of speech.wav."
    assert dict(received.body["fields"])["language"] == "en"
    assert received.body["file"]["content_type"] == "audio/wav"
    usage = received.usage()
    assert scene.call(TRANSCRIPTION).cost == cost_of(usage.prompt, usage.completion)


def only_request_of(scene: Scene, model: str) -> Received:
    (received,) = scene.upstream.received(model)
    assert received.credential == "sk-of-the-openai_compatible-provider"
    return received


def test_a_client_that_leaves_in_mid_stream(
    scene: Scene, client: openai.OpenAI, model: str
) -> None:
    scene.upstream.behave(model, Behaviour(fault=Fault.HANGS_IN_BODY, after=3))
    _assert_leaving_ends_the_call(scene, client, model)


def test_a_client_that_leaves_while_pieces_come(
    scene: Scene, client: openai.OpenAI, model: str
) -> None:
    scene.upstream.behave(model, Behaviour(pause=0.3))
    _assert_leaving_ends_the_call(scene, client, model)


def _assert_leaving_ends_the_call(scene: Scene, client: openai.OpenAI, model: str) -> None:
    """The upstream learns of it within a second, and what was generated is paid for."""
    before = scene.palyra.records.window(BUDGET).consumed
    stream = client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    call_id = UUID(stream.response.headers["x-palyra-call-id"])
    text = ""
    while len(text.split()) < 3:
        text += next(stream).choices[0].delta.content or ""
    left_at = time.monotonic()
    stream.close()

    scene.upstream.wait_for_disconnects(model, 1)
    received = only_request(scene, model)
    assert received.disconnected_at is not None
    assert 0 <= received.disconnected_at - left_at < 1
    assert not received.answered
    call = scene.call(model)
    assert (call.id, call.status, call.usage_reported) == (call_id, "cancelled", False)
    assert call.output_tokens is not None and call.cost is not None
    assert call.output_tokens >= len(text) // 4
    assert call.cost == cost_of(call.uncached_input_tokens or 0, call.output_tokens) > 0
    window = scene.palyra.records.window(BUDGET)
    assert (window.consumed - before, window.held) == (call.cost, 0)


def test_a_stream_that_breaks_off_raises_in_the_client(
    scene: Scene, client: openai.OpenAI, model: str
) -> None:
    scene.upstream.behave(model, Behaviour(fault=Fault.TRUNCATED, after=3))
    stream = client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    text = ""
    with pytest.raises(openai.APIError, match="broke off"):
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert len(text.split()) == 3
    call = scene.call(model)
    assert call.status == "failed"
    assert call.cost


def test_no_retry_of_what_failed(scene: Scene, client: openai.OpenAI, model: str) -> None:
    """With its own retries on, the client still asks once: Palyra is the one that retries."""
    scene.upstream.behave(model, Behaviour(fault=Fault.MALFORMED_JSON))
    with pytest.raises(openai.InternalServerError) as failed:
        client.with_options(max_retries=2).chat.completions.create(model=model, messages=QUESTION)
    assert failed.value.status_code == 502
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["failure_class"] == "malformed_response"
    assert len(scene.upstream.received(model)) == 1
