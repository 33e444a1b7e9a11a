"""What clients ask of Palyra over HTTP, and what makes an answer to it a sound one."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from providers.models import ModelRole

LARGEST_ANSWER = 900
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
AUDIO = b"RIFF" * 4000


class Operation(StrEnum):
    """A kind of request."""

    CHAT = "chat"
    STREAM = "stream"
    TOOLS = "tools"
    JSON = "json"
    VISION = "vision"
    EMBEDDINGS = "embeddings"
    TRANSCRIPTION = "transcription"

    @property
    def role(self) -> ModelRole:
        """The role of the model that it asks."""
        return ROLES.get(self, ModelRole.CHAT)


ROLES = {
    Operation.EMBEDDINGS: ModelRole.EMBEDDINGS,
    Operation.TRANSCRIPTION: ModelRole.AUDIO_TRANSCRIPTION,
}
CHATS = tuple(one for one in Operation if one.role is ModelRole.CHAT)
MORE: dict[Operation, dict[str, Any]] = {
    Operation.STREAM: {"stream": True, "stream_options": {"include_usage": True}},
    Operation.TOOLS: {"tools": [TOOL], "tool_choice": "required"},
    Operation.JSON: {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "city", "strict": True, "schema": SCHEMA},
        }
    },
}


@dataclass(slots=True)
class Answered:
    """What came back: a body, or the pieces of a stream; `error` is either's error object.

    `done` says that a stream ended as one that is complete does.
    """

    status: int
    headers: httpx.Headers
    body: Any = None
    chunks: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] = field(default_factory=dict)
    done: bool = False

    @property
    def text(self) -> str:
        """The text of a chat's answer, whole or put together."""
        if self.chunks:
            deltas = [one["choices"][0]["delta"] for one in self.chunks if one["choices"]]
            return "".join(delta.get("content") or "" for delta in deltas)
        return str(self.body["choices"][0]["message"]["content"])


async def ask(client: httpx.AsyncClient, operation: Operation, model: str) -> Answered:
    """Make one request of `model`, and read the answer to its end."""
    if operation is Operation.STREAM:
        return await _ask_for_stream(client, _chat(operation, model))
    if operation is Operation.TRANSCRIPTION:
        reply = await client.post(
            "/v1/audio/transcriptions",
            data={"model": model},
            files={"file": ("speech.wav", AUDIO, "audio/wav")},
        )
    elif operation is Operation.EMBEDDINGS:
        body = {"model": model, "input": ["one", "two"]}
        reply = await client.post("/v1/embeddings", json=body)
    else:
        reply = await client.post("/v1/chat/completions", json=_chat(operation, model))
    body = reply.json()
    return Answered(reply.status_code, reply.headers, body, error=body.get("error", {}))


def _chat(operation: Operation, model: str) -> dict[str, Any]:
    content: Any = "Say something."
    if operation is Operation.VISION:
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        content = [{"type": "text", "text": "What is this?"}, picture]
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": LARGEST_ANSWER,
        **MORE.get(operation, {}),
    }


async def _ask_for_stream(client: httpx.AsyncClient, body: dict[str, Any]) -> Answered:
    async with client.stream("POST", "/v1/chat/completions", json=body) as reply:
        answered = Answered(reply.status_code, reply.headers)
        if not reply.headers["content-type"].startswith("text/event-stream"):
            await reply.aread()
            answered.body = reply.json()
            answered.error = answered.body["error"]
            return answered
        async for line in reply.aiter_lines():
            if line.startswith("data: "):
                _take(answered, line.removeprefix("data: "))
    return answered


def _take(answered: Answered, data: str) -> None:
    assert not answered.done and not answered.error, f"after its end came {data}"
    if data == "[DONE]":
        answered.done = True
        return
    event = json.loads(data)
    if "error" in event:
        answered.error = event["error"]
    else:
        answered.chunks.append(event)


def assert_sound(operation: Operation, answered: Answered) -> None:
    """An answer has what its request asked for."""
    assert answered.status == 200, answered.error
    assert not answered.error, answered.error
    match operation:
        case Operation.CHAT | Operation.VISION:
            assert answered.text
            assert answered.body["choices"][0]["finish_reason"] == "stop"
        case Operation.STREAM:
            _assert_sound_stream(answered)
        case Operation.TOOLS:
            choice = answered.body["choices"][0]
            (call,) = choice["message"]["tool_calls"]
            assert choice["finish_reason"] == "tool_calls"
            assert call["function"]["name"] == "weather"
            assert set(json.loads(call["function"]["arguments"])) == {"city"}
        case Operation.JSON:
            assert set(json.loads(answered.text)) == {"city"}
        case Operation.EMBEDDINGS:
            vectors = [entry["embedding"] for entry in answered.body["data"]]
            assert [abs(sum(number**2 for number in one) - 1) < 1e-6 for one in vectors] == [
                True
            ] * 2
            assert vectors[0] != vectors[1]
        case Operation.TRANSCRIPTION:
            assert answered.body["text"]


def _assert_sound_stream(answered: Answered) -> None:
    assert answered.done
    assert answered.text
    finishes = [one["choices"][0]["finish_reason"] for one in answered.chunks if one["choices"]]
    assert [finish for finish in finishes if finish] == ["stop"]
    usages = [one["usage"] for one in answered.chunks if one.get("usage")]
    assert len(usages) == 1
    assert answered.chunks[-1]["choices"] == []
