"""Embeddings and transcription without a network."""

from __future__ import annotations

import base64
import math
import re
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.audio import Transcription, TranscriptionDiarized, TranscriptionVerbose

from providers.adapters import deterministic
from providers.failures import Failure
from providers.models import ModelRole
from providers.requests import Answer
from providers.usage import Usage
from tests.providers.entries import embeddings_request, model_entry, transcription_request

EMBEDDER = model_entry(role=ModelRole.EMBEDDINGS, name="embedder")
LISTENER = model_entry(role=ModelRole.AUDIO_TRANSCRIPTION, name="listener")


async def embedded(asked: Any, **body: Any) -> Answer:
    outcome = await deterministic.send(embeddings_request(EMBEDDER, asked, **body))
    assert isinstance(outcome, Answer)
    return outcome


def vectors(answer: Answer) -> list[list[float]]:
    CreateEmbeddingResponse.model_validate(answer.body)
    return [one["embedding"] for one in answer.body["data"]]


inputs = (
    st.text(max_size=30)
    | st.lists(st.text(max_size=20), min_size=1, max_size=3)
    | st.lists(st.integers(0, 10**5), min_size=1, max_size=5)
    | st.lists(st.lists(st.integers(0, 10**5), min_size=1, max_size=3), min_size=1, max_size=3)
)


@given(asked=inputs, dimensions=st.integers(1, 64))
async def test_every_vector_is_of_length_one_and_always_the_same(
    asked: Any, dimensions: int
) -> None:
    found = vectors(await embedded(asked, dimensions=dimensions))
    assert found == vectors(await embedded(asked, dimensions=dimensions))
    for vector in found:
        assert len(vector) == dimensions
        assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-6)


async def test_different_texts_point_elsewhere_and_the_same_text_to_the_same_place() -> None:
    first, second, again = vectors(await embedded(["one", "two", "one"]))
    assert first == again
    assert sum(a * b for a, b in zip(first, second, strict=True)) < 0.5


async def test_base64_holds_the_same_numbers() -> None:
    floats = vectors(await embedded(["one", "two"], dimensions=8))
    encoded = (await embedded(["one", "two"], dimensions=8, encoding_format="base64")).body["data"]
    unpacked = [list(struct.unpack("<8f", base64.b64decode(one["embedding"]))) for one in encoded]
    assert unpacked == floats


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [("12345678", 2), (["1234", "12345678"], 3), ([1, 2, 3], 3), ([[1], [2, 3]], 3)],
)
async def test_embeddings_take_input_alone(asked: Any, tokens: int) -> None:
    answer = await embedded(asked)
    assert answer.usage == Usage(uncached_input=tokens)
    assert answer.body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert answer.body["model"] == "embedder"


@pytest.mark.parametrize("dimensions", [0, -1, 5000, 1.5, "8", True])
async def test_odd_dimensions_are_the_callers_to_change(dimensions: Any) -> None:
    outcome = await deterministic.send(embeddings_request(EMBEDDER, dimensions=dimensions))
    assert isinstance(outcome, Failure)
    assert outcome.callers_fault


# --- Transcription --------------------------------------------------------------------------------


async def heard(*fields: tuple[str, str], audio: bytes = b"x" * 48_000) -> Answer:
    outcome = await deterministic.send(transcription_request(LISTENER, *fields, audio=audio))
    assert isinstance(outcome, Answer)
    return outcome


def in_format(name: str) -> tuple[str, str]:
    return ("response_format", name)


async def test_the_same_sound_has_the_same_words() -> None:
    assert (await heard()).body == (await heard()).body
    other = await heard(audio=b"y" * 48_000)
    assert other.body["text"] != (await heard()).body["text"]


async def test_json_has_the_text_and_what_it_took() -> None:
    answer = await heard()
    whole = Transcription.model_validate(answer.body)
    assert answer.usage is not None
    assert answer.usage.input == 30
    assert answer.body["usage"]["input_tokens"] == answer.usage.input
    assert answer.body["usage"]["output_tokens"] == answer.usage.output
    assert whole.text


async def test_verbose_json_has_segments_and_words_where_they_are_asked_for() -> None:
    plain = TranscriptionVerbose.model_validate((await heard(in_format("verbose_json"))).body)
    assert plain.words is None
    answer = await heard(
        in_format("verbose_json"), ("timestamp_granularities[]", "word"), ("language", "de")
    )
    whole = TranscriptionVerbose.model_validate(answer.body)
    assert (whole.duration, whole.language) == (3.0, "de")
    assert whole.segments is not None
    assert " ".join(segment.text for segment in whole.segments) == whole.text
    assert whole.segments[-1].end == whole.duration
    assert whole.words is not None
    assert " ".join(word.word for word in whole.words) == whole.text


async def test_diarized_json_has_a_speaker() -> None:
    answer = await heard(in_format("diarized_json"))
    whole = TranscriptionDiarized.model_validate(answer.body)
    assert {segment.speaker for segment in whole.segments} == {"A"}


async def test_plain_text_and_subtitles() -> None:
    said = (await heard()).body["text"]
    text = await heard(in_format("text"))
    assert (text.body, text.content_type) == (said, "text/plain; charset=utf-8")
    srt = await heard(in_format("srt"))
    assert srt.content_type == "text/plain; charset=utf-8"
    assert srt.body.startswith("1\n00:00:00,000 --> ")
    vtt = await heard(in_format("vtt"))
    assert vtt.content_type == "text/vtt; charset=utf-8"
    assert vtt.body.startswith("WEBVTT\n\n00:00:00.000 --> ")
    for subtitles in (srt.body, vtt.body):
        lines = [line for line in subtitles.splitlines() if re.search(r"[a-z]{2}", line)]
        assert " ".join(lines) == said


async def test_every_role_is_listed() -> None:
    roles = {model.role for model in deterministic.LISTING.models}
    assert roles == {role.value for role in ModelRole}
