"""Whatever is sent to `/v1`, the answer is no failure of ours, and always in OpenAI's shape."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.openai_endpoint.web import DirectWeb, Scene, running

EXAMPLES = 150
JSON_PATHS = ["/v1/chat/completions", "/v1/embeddings"]
PATHS = [*JSON_PATHS, "/v1/audio/transcriptions"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
roles = st.sampled_from(["user", "system", "assistant", "tool", "developer", "function"])
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "refusal"]) | values},
    optional={"text": values, "image_url": values, "input_audio": values},
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": roles, "content": st.text(max_size=20) | st.lists(parts, max_size=3) | values},
        optional={"tool_calls": values, "name": values, "tool_call_id": values},
    ),
    min_size=1,
    max_size=3,
)
functions = st.fixed_dictionaries(
    {"type": st.just("function"), "function": values | st.dictionaries(st.text(), values)}
)
chats = st.fixed_dictionaries(
    # What is required is mostly right, or nothing would be read any further.
    {"model": st.just("nice"), "messages": messages},
    optional={
        "stream": st.booleans() | values,
        "stream_options": values | st.just({"include_usage": True}),
        "temperature": st.just(0) | values,
        "max_tokens": st.integers(1, 50) | values,
        "n": st.integers(1, 3) | values,
        "tools": st.lists(functions, max_size=2) | values,
        "tool_choice": st.just("required") | values,
        "response_format": values
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["text", "json_object", "json_schema"])},
            optional={"json_schema": values | st.fixed_dictionaries({"schema": values})},
        ),
        "stop": values,
        "unknown": values,
    },
)
embeddings = st.fixed_dictionaries(
    {
        "model": st.just("vector"),
        "input": st.lists(st.text(min_size=1), min_size=1, max_size=3) | values,
    },
    optional={
        "dimensions": st.integers(1, 9) | values,
        "encoding_format": st.sampled_from(["float", "base64"]) | values,
        "unknown": values,
    },
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "x-palyra-cache": st.sampled_from(["use", "", "no"]),
        "x-palyra-task-class": st.sampled_from(["auxiliary_recall", "", "é"]),
        "cache-control": st.sampled_from(["no-store", "no-cache", ",", "é"]),
        "content-length": st.sampled_from(["-1", "x", "0"]),
        "content-type": st.sampled_from(
            ["application/json", "multipart/form-data", "multipart/form-data; boundary=b", "é"]
        ),
    },
)
forms = st.lists(
    st.sampled_from(
        [
            b"--b",
            b"--",
            b"\r\n",
            b'Content-Disposition: form-data; name="file"; filename="a.wav"',
            b'Content-Disposition: form-data; name="model"',
            b"Content-Type: audio/wav; x*1=y; x=z; x*=a''b",
            b"scribe",
        ]
    )
    | st.binary(max_size=12),
    max_size=16,
).map(b"".join)


def sound(response: httpx.Response) -> None:
    """Assert that the answer is one: a status that is not ours to be sorry for, and its shape."""
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        error = response.json()["error"]
        assert {"message", "type", "param", "code"} <= set(error)
        assert error["code"] != "internal_error"
    if response.headers["content-type"].startswith("text/event-stream"):
        assert response.text.endswith("data: [DONE]\n\n"), response.text
    assert response.headers["x-request-id"]


class Loop:
    """An application on a loop of its own, for tests that are not asynchronous themselves."""

    def __init__(self, web: DirectWeb, runner: asyncio.Runner) -> None:
        self._web = web
        self._runner = runner

    def post(self, path: str, content: bytes, **headers: str) -> httpx.Response:
        """The answer to a request with that body."""

        async def ask() -> httpx.Response:
            raw = [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
            return await self._web.client.post(path, content=content, headers=raw)

        return self._runner.run(ask())


@pytest.fixture
def loop(every_role: Scene) -> Any:
    with asyncio.Runner() as runner:
        context = running(every_role.key)
        web = runner.run(_entered(context))
        yield Loop(web, runner)
        runner.run(_left(context))


async def _entered(context: Any) -> DirectWeb:
    web: DirectWeb = await context.__aenter__()
    return web


async def _left(context: Any) -> None:
    await context.__aexit__(None, None, None)


many = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(body=chats, more=headers)
def test_any_chat(loop: Loop, body: Any, more: dict[str, str]) -> None:
    sound(loop.post(JSON_PATHS[0], json.dumps(body).encode(), **more))


@many
@given(body=embeddings, more=headers)
def test_any_embeddings(loop: Loop, body: Any, more: dict[str, str]) -> None:
    sound(loop.post(JSON_PATHS[1], json.dumps(body).encode(), **more))


@many
@given(body=values, path=st.sampled_from(PATHS))
def test_any_json(loop: Loop, body: Any, path: str) -> None:
    sound(loop.post(path, json.dumps(body).encode()))


@many
@given(content=forms | st.binary(max_size=60), more=headers, path=st.sampled_from(PATHS))
def test_any_bytes(loop: Loop, content: bytes, more: dict[str, str], path: str) -> None:
    kind = {"content-type": "multipart/form-data; boundary=b"}
    sound(loop.post(path, content, **{**kind, **more}))
