"""Transcription on OpenAI's wire: a form out, JSON or plain text back."""

from __future__ import annotations

from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters import openai_compatible
from providers.failures import Failure, FailureClass
from providers.requests import Answer, Outcome, TranscriptionRequest
from providers.transport import InboundAnswer, OutboundRequest
from providers.usage import Usage
from providers.vault import SecretText
from tests.providers.entries import model_entry, remote_entry, transcription_request

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE_URL = "https://models.example.com/v1"
TEXT = "text/plain; charset=utf-8"
TOKENS = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}


def asking(*fields: tuple[str, str], **changes: Any) -> TranscriptionRequest:
    model = model_entry(remote_entry(BASE_URL), name="nice", upstream_name="vendor/whisper")
    return transcription_request(model, *fields, **changes)


def parts(outbound: OutboundRequest) -> list[tuple[str, str | None, bytes]]:
    """Name, file name and content of each part, as another parser reads them."""
    head = b"content-type: " + outbound.headers["content-type"].encode() + b"\r\n\r\n"
    form = BytesParser(policy=HTTP).parsebytes(head + outbound.body)
    return [
        (
            str(part.get_param("name", header="content-disposition")),
            part.get_filename(),
            cast(bytes, part.get_payload(decode=True)),
        )
        for part in form.iter_parts()
    ]


def test_every_field_goes_out_in_order_with_the_upstreams_name() -> None:
    request = asking(
        ("language", "en"),
        ("timestamp_granularities[]", "word"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "segment"),
        ("stream", "true"),
        audio=b"\x00\x01\r\n--sound",
    )
    outbound = openai_compatible.encode(request, SecretText("sk-1"))
    assert outbound.url == f"{BASE_URL}/audio/transcriptions"
    assert outbound.headers["authorization"] == "Bearer sk-1"
    assert parts(outbound) == [
        ("model", None, b"vendor/whisper"),
        ("language", None, b"en"),
        ("timestamp_granularities[]", None, b"word"),
        ("response_format", None, b"verbose_json"),
        ("timestamp_granularities[]", None, b"segment"),
        ("file", "speech.wav", b"\x00\x01\r\n--sound"),
    ]


def test_the_boundary_cannot_be_guessed() -> None:
    bodies = {openai_compatible.encode(asking(), None).body for _ in range(3)}
    assert len(bodies) == 3


@pytest.mark.parametrize(
    ("given_type", "sent"),
    [
        ("audio/wav", b"audio/wav"),
        ("audio/webm;codecs=opus", b"audio/webm;codecs=opus"),
        ("", b"application/octet-stream"),
        ("audio/wav\r\nX-Evil: 1", b"application/octet-stream"),
    ],
)
def test_the_sounds_type_cannot_add_headers(given_type: str, sent: bytes) -> None:
    plain = asking()
    request = TranscriptionRequest(
        model=plain.model,
        fields=(),
        filename='a"b\r\n.wav',
        content_type=given_type,
        audio=b"x",
    )
    body = openai_compatible.encode(request, None).body
    assert b"Content-Type: " + sent + b"\r\n\r\nx" in body
    assert b"X-Evil" not in body
    assert b"%22" in body


@given(audio=st.binary(max_size=200), value=st.text(max_size=20))
def test_sound_and_fields_arrive_whole(audio: bytes, value: str) -> None:
    outbound = openai_compatible.encode(asking(("prompt", value), audio=audio), None)
    boundary = outbound.headers["content-type"].partition("boundary=")[2].encode()
    sections = outbound.body.split(b"--" + boundary)
    assert sections[2].partition(b"\r\n\r\n")[2] == value.encode() + b"\r\n"
    assert sections[3].partition(b"\r\n\r\n")[2] == audio + b"\r\n"


def decoded(content: bytes, media_type: str, asked: str | None) -> Outcome:
    try:
        json = orjson.loads(content)
    except orjson.JSONDecodeError:
        json = None
    inbound = InboundAnswer(200, json, {"content-type": media_type}, content)
    request = asking(*([("response_format", asked)] if asked else []))
    return openai_compatible.decode(inbound, request, now=NOW)


JSON = "application/json"


@pytest.mark.parametrize("asked", [None, "json", "verbose_json", "diarized_json"])
def test_json_is_passed_on_as_it_is(asked: str | None) -> None:
    body = {"text": "Hi.", "usage": TOKENS, "logprobs": [], "new": 1}
    outcome = decoded(orjson.dumps(body), JSON, asked)
    assert outcome == Answer(body, Usage(uncached_input=14, output=45))


@pytest.mark.parametrize(
    ("asked", "content", "label"),
    [
        ("text", "Grüße\n", TEXT),
        ("text", "123", TEXT),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\nHi.\n", TEXT),
        ("vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nHi.\n", "text/vtt; charset=utf-8"),
    ],
)
def test_text_stays_text(asked: str, content: str, label: str) -> None:
    assert decoded(content.encode(), "text/plain", asked) == Answer(content, None, label)


def test_hosts_that_know_only_json_still_give_plain_text() -> None:
    whole = decoded(orjson.dumps({"text": "Hi.", "usage": TOKENS}), JSON, "text")
    assert whole == Answer("Hi.", Usage(uncached_input=14, output=45), TEXT)
    assert decoded(b'"Hi."', JSON, "text") == Answer("Hi.", None, TEXT)


@pytest.mark.parametrize(
    ("content", "media_type", "asked"),
    [
        pytest.param(b"Hi.", "text/plain", "json", id="text for JSON"),
        pytest.param(b"{}", JSON, "json", id="an empty object"),
        pytest.param(b'{"text": 5}', JSON, "verbose_json", id="a text that is a number"),
        pytest.param(b'{"text": "Hi."}', JSON, "srt", id="JSON for subtitles"),
        pytest.param(b"<html>", "text/html", "text", id="a web page"),
        pytest.param(b"[]", JSON, "text", id="a list"),
    ],
)
def test_anything_else_is_malformed_and_may_be_billed(
    content: bytes, media_type: str, asked: str
) -> None:
    outcome = decoded(content, media_type, asked)
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.MALFORMED_RESPONSE
    assert outcome.may_be_billed


def test_an_error_is_a_failure_whatever_was_asked_for() -> None:
    inbound = InboundAnswer(401, {"error": {"message": "No."}})
    outcome = openai_compatible.decode(inbound, asking(("response_format", "srt")), now=NOW)
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.AUTH_INVALID
