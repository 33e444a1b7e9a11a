"""What is kept for a moment, under which key, and what is never."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.models import ModelRole
from providers.requests import Answer, ChatRequest, ModelRequest
from providers.response_cache import (
    LARGEST_ENTRY,
    PREFIX,
    CachedAnswer,
    CacheUse,
    ResponseCache,
    cache_key,
)
from providers.shared_answers import PAUSE
from providers.usage import Usage
from tests.providers import redis_server
from tests.providers.entries import (
    chat_request,
    embeddings_request,
    model_entry,
    provider_entry,
    question,
    transcription_request,
)

PROVIDER = provider_entry(name="ada")
MODEL = model_entry(PROVIDER, name="m")
SPEECH = model_entry(PROVIDER, name="w", role=ModelRole.AUDIO_TRANSCRIPTION)
VECTORS = model_entry(PROVIDER, name="e", role=ModelRole.EMBEDDINGS)
COLD = chat_request(MODEL, temperature=0)
TOOL = {"type": "function", "function": {"name": "f"}}


def key(request: ModelRequest, use: CacheUse = CacheUse.DEFAULT, team: int = 1) -> str | None:
    return cache_key(request, team_id=team, use=use)


def chat(*, stream: bool = False, **body: Any) -> ChatRequest:
    return chat_request(MODEL, stream=stream, **body)


def speech(*fields: tuple[str, str], audio: bytes = b"RIFF") -> ModelRequest:
    return transcription_request(SPEECH, *fields, audio=audio)


# The request, and whether it is kept by default, and if asked for.
KEPT: list[tuple[str, ModelRequest, bool, bool]] = [
    ("temperature 0", COLD, True, True),
    ("temperature 0.0", chat(temperature=0.0), True, True),
    ("no temperature", chat(), False, True),
    ("temperature null", chat(temperature=None), False, True),
    ("temperature 0.1", chat(temperature=0.1), False, True),
    ("temperature of no kind", chat(temperature=[]), False, True),
    ("temperature false", chat(temperature=False), False, True),
    ("a stream", chat(temperature=0, stream=True), True, True),
    ("tools", chat(temperature=0, tools=[TOOL]), False, False),
    ("a stream with tools", chat(temperature=0, stream=True, tools=[TOOL]), False, False),
    ("functions", chat(temperature=0, functions=[{"name": "f"}]), False, False),
    ("an empty list of tools", chat(temperature=0, tools=[]), True, True),
    ("one choice", chat(temperature=0, n=1), True, True),
    ("two choices", chat(temperature=0, n=2), False, False),
    ("choices of no kind", chat(temperature=0, n=[1]), False, False),
    ("speech", chat(temperature=0, modalities=["text", "audio"]), True, True),
    ("streamed speech", chat(temperature=0, stream=True, modalities=["audio"]), False, False),
    ("streamed text", chat(temperature=0, stream=True, modalities=["text"]), True, True),
    ("a number beyond JSON's common ones", chat(temperature=0, seed=2**70), False, False),
    ("half a character", chat(temperature=0, user_note="\ud800"), False, False),
    ("embeddings", embeddings_request(VECTORS), True, True),
    ("a transcription", speech(), True, True),
    ("a transcription at 0", speech(("temperature", "0")), True, True),
    ("a transcription at 0.2", speech(("temperature", "0.2")), False, True),
    ("a transcription at no number", speech(("temperature", "x")), False, True),
    ("a streamed transcription", speech(("stream", "True")), False, False),
    ("one that is not", speech(("stream", "false")), True, True),
]


@pytest.mark.parametrize(
    ("request_", "default", "asked"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT]
)
def test_what_is_kept(request_: ModelRequest, default: bool, asked: bool) -> None:
    assert (key(request_) is not None) == default
    assert (key(request_, CacheUse.REFRESH) is not None) == default
    assert (key(request_, CacheUse.ASKED) is not None) == asked
    assert key(request_, CacheUse.OFF) is None


SAME: list[tuple[str, ModelRequest]] = [
    ("streamed", chat(temperature=0, stream=True, stream_options={"include_usage": True})),
    ("for someone", chat(temperature=0, user="ada", safety_identifier="x")),
    ("with notes", chat(temperature=0, metadata={"a": "b"}, store=True, prompt_cache_key="k")),
]


@pytest.mark.parametrize("request_", [row[1] for row in SAME], ids=[row[0] for row in SAME])
def test_what_makes_no_difference(request_: ModelRequest) -> None:
    assert key(request_) == key(COLD)
    assert key(COLD, CacheUse.ASKED) == key(COLD) == key(COLD, CacheUse.REFRESH)


def test_the_order_of_fields_makes_none_either() -> None:
    body = dict(reversed(list(COLD.body.items())))
    assert key(replace(COLD, body=body)) == key(COLD)


def elsewhere(**fields: Any) -> ModelRequest:
    return replace(COLD, model=replace(MODEL, **fields))


def hosted(**fields: Any) -> ModelRequest:
    return elsewhere(provider=replace(PROVIDER, **fields))


DIFFERENT: list[tuple[str, ModelRequest]] = [
    ("plain", COLD),
    ("another question", chat(temperature=0, messages=question("Why?"))),
    ("another field", chat(temperature=0, top_k=3)),
    ("JSON", chat(temperature=0, response_format={"type": "json_object"})),
    ("a smaller cap", replace(COLD, output_cap=5)),
    ("another model", elsewhere(id=MODEL.id + 9)),
    ("another upstream name", elsewhere(upstream_name="n")),
    ("another role", elsewhere(role="embeddings")),
    ("another provider", hosted(id=PROVIDER.id + 9)),
    ("another address", hosted(base_url="https://b/v1")),
    ("embeddings", embeddings_request(VECTORS)),
    ("of other text", embeddings_request(VECTORS, "Other.")),
    ("of a size", embeddings_request(VECTORS, dimensions=8)),
    ("speech", speech()),
    ("other speech", speech(audio=b"RIFX")),
    ("speech in a language", speech(("language", "de"))),
]


def test_what_makes_a_difference() -> None:
    keys = [key(row[1]) for row in DIFFERENT]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert key(COLD, team=2) not in keys


USAGE = Usage(uncached_input=3, cache_read=1, output=2)
CACHED = CachedAnswer(Answer({"choices": [], "id": "c"}, USAGE), "ada/m")
TEXT = CachedAnswer(Answer("1\n00:00 --> 00:01\nHello.", None, "text/plain"), "ada/w")


class Clock:
    """A monotonic clock that is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("cached", [CACHED, TEXT])
async def test_an_answer_comes_back_as_it_was_until_it_is_too_old(cached: CachedAnswer) -> None:
    clock = Clock()
    cache = ResponseCache(clock=clock)
    assert await cache.get("k") is None
    await cache.put("k", cached, seconds=30)
    clock.now += 29.9
    assert await cache.get("k") == cached
    clock.now += 0.2
    assert await cache.get("k") is None


async def test_whoever_changes_what_came_back_changes_nothing_kept() -> None:
    cache = ResponseCache()
    await cache.put("k", CACHED, seconds=30)
    first = await cache.get("k")
    assert first is not None
    first.answer.body["id"] = "changed"
    assert await cache.get("k") == CACHED


async def test_a_newer_answer_takes_the_place_of_the_older() -> None:
    cache = ResponseCache()
    await cache.put("k", CACHED, seconds=30)
    await cache.put("k", TEXT, seconds=30)
    assert await cache.get("k") == TEXT


async def test_no_time_and_no_room_are_not_kept() -> None:
    cache = ResponseCache()
    await cache.put("none", CACHED, seconds=0)
    large = replace(TEXT, answer=Answer("x" * LARGEST_ENTRY, None, "text/plain"))
    await cache.put("large", large, seconds=30)
    strange = replace(TEXT, answer=Answer({"n": 2**70}, None))
    await cache.put("strange", strange, seconds=30)
    assert [await cache.get(name) for name in ("none", "large", "strange")] == [None] * 3


async def test_memory_is_bounded_by_bytes() -> None:
    cache = ResponseCache()
    large = replace(TEXT, answer=Answer("x" * (LARGEST_ENTRY - 1000), None, "text/plain"))
    for number in range(70):
        await cache.put(str(number), large, seconds=30)
    kept = [number for number in range(70) if await cache.get(str(number)) is not None]
    assert len(kept) == 64
    assert kept[-1] == 69


async def test_closing_forgets() -> None:
    cache = ResponseCache()
    await cache.put("k", CACHED, seconds=30)
    await cache.close()
    assert await cache.get("k") is None


# --- Redis


async def test_answers_are_shared_through_redis() -> None:
    async with redis_server.serving() as server:
        one, two = ResponseCache(redis_url=server.url), ResponseCache(redis_url=server.url)
        assert await two.get("k") is None
        await one.put("k", CACHED, seconds=30)
        assert await two.get("k") == CACHED
        assert server.kept[f"{PREFIX}k".encode()][1] == 30
        await one.close()
        await two.close()


async def test_installations_that_use_one_redis_share_no_answers() -> None:
    async with redis_server.serving() as server:
        one, other = (
            ResponseCache(redis_url=server.url, installation=name) for name in ("one", "other")
        )
        await one.put("k", CACHED, seconds=30)
        assert await other.get("k") is None
        for cache in (one, other):
            await cache.close()


async def test_what_is_in_memory_does_not_ask_redis() -> None:
    async with redis_server.serving() as server:
        cache = ResponseCache(redis_url=server.url)
        await cache.put("k", CACHED, seconds=30)
        assert await cache.get("k") == CACHED
        assert b"GET" not in server.commands
        await cache.close()


def _kept(**fields: Any) -> bytes:
    whole: dict[str, Any] = {
        "key": "k",
        "model": "ada/m",
        "body": {},
        "content_type": "application/json",
        "usage": None,
    }
    return orjson.dumps({**whole, **fields})


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        _kept(key="another"),
        _kept(usage=[1]),
        _kept(usage={"tokens": 1}),
    ],
)
async def test_whatever_else_stands_there_is_a_miss(found: bytes) -> None:
    async with redis_server.serving() as server:
        server.kept[f"{PREFIX}k".encode()] = (found, 30)
        cache = ResponseCache(redis_url=server.url)
        assert await cache.get("k") is None
        await cache.close()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_miss_at_worst(found: bytes) -> None:
    from providers.response_cache import _read  # noqa: PLC0415 - what reads them is not public

    assert _read(found, "k") is None


async def test_a_redis_that_is_not_there_is_a_miss_said_once(
    caplog: pytest.LogCaptureFixture, free_port: int
) -> None:
    clock = Clock()
    cache = ResponseCache(redis_url=f"redis://:hunter2@127.0.0.1:{free_port}", clock=clock)
    with caplog.at_level(logging.WARNING, "providers.shared_answers"):
        assert await cache.get("other") is None
        await cache.put("k", CACHED, seconds=600)
        clock.now += PAUSE + 1
        assert await cache.get("other") is None
        # Memory works all the same.
        assert await cache.get("k") == CACHED
    (said,) = caplog.messages
    assert said.startswith("Answers are not shared through Redis for now: ")
    assert "hunter2" not in said
    await cache.close()


async def test_a_silent_redis_slows_one_call_a_little_and_the_next_not_at_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    async with redis_server.serving() as server:
        server.silent = True
        cache = ResponseCache(redis_url=server.url, clock=clock)
        began = time.monotonic()
        assert await asyncio.wait_for(cache.get("k"), timeout=30) is None
        assert time.monotonic() - began < 10
        asked = len(server.commands)
        for _ in range(100):
            assert await cache.get("k") is None
        assert len(server.commands) == asked
        # After a while it is asked again, and once it is well that is said as well.
        server.silent = False
        clock.now += PAUSE + 1
        await cache.put("k", CACHED, seconds=30)
        assert f"{PREFIX}k".encode() in server.kept
        await cache.close()
    assert caplog.messages[-1] == "Redis shares answers again."


async def test_an_answer_to_another_question_is_never_given() -> None:
    async with redis_server.serving() as server:
        cache = ResponseCache(redis_url=server.url)
        await cache.get("k")
        other = _kept(key="other")
        server.word = b"$%d\r\n%b\r\n" % (len(other), other)
        assert await cache.get("k") is None
        await cache.close()
