"""OpenAI's requests as Anthropic's: every mapping, and what cannot be said there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.adapters import Untranslatable, anthropic
from providers.requests import ChatRequest
from providers.vault import SecretText
from tests.providers.anthropic_reference import assert_understood
from tests.providers.entries import (
    anthropic_entry,
    chat_request,
    embeddings_request,
    model_entry,
    transcription_request,
)

BUDGETED, ADAPTIVE, NEWEST = "claude-sonnet-4-5-20250929", "claude-opus-4-6", "claude-opus-5"
OTHER_VENDOR = "MiniMax-M2"
USER = {"role": "user", "content": "Hello."}


def request_to(
    model: str = BUDGETED, base_url: str = "https://api.anthropic.com/v1", **body: Any
) -> ChatRequest:
    entry = model_entry(anthropic_entry(base_url), name="nice", upstream_name=model)
    return chat_request(entry, **body)


def sent(model: str = BUDGETED, **body: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = orjson.loads(anthropic.encode(request_to(model, **body), None).body)
    assert_understood(encoded)
    return encoded


def refused(**body: Any) -> Untranslatable:
    with pytest.raises(Untranslatable) as caught:
        anthropic.encode(request_to(**body), None)
    failure = caught.value.failure()
    assert failure.callers_fault
    assert not failure.may_be_billed
    return caught.value


def turns(*messages: dict[str, Any], **body: Any) -> Any:
    return sent(messages=list(messages), **body)["messages"]


def function(name: str = "look", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def called(*calls: tuple[str, str, str], **fields: Any) -> dict[str, Any]:
    tool_calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in calls
    ]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls, **fields}


# --- Where it goes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url", ["https://api.anthropic.com/v1", "https://api.minimax.io/anthropic/v1"]
)
def test_it_goes_to_messages_below_the_base_url_with_version_and_key(base_url: str) -> None:
    outbound = anthropic.encode(request_to(base_url=base_url), SecretText("sk-ant-1"))
    assert outbound.url == f"{base_url}/messages"
    assert outbound.headers == {
        "content-type": "application/json",
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-ant-1",
    }
    assert b"sk-ant-1" not in outbound.body


def test_without_a_credential_no_key_is_sent() -> None:
    assert "x-api-key" not in anthropic.encode(request_to(), None).headers


def test_a_stream_is_asked_for() -> None:
    outbound = anthropic.encode(request_to(stream=True), None)
    assert orjson.loads(outbound.body)["stream"] is True
    assert outbound.headers["accept"] == "text/event-stream"
    assert "stream" not in sent(stream_options={"include_usage": True})


@pytest.mark.parametrize("request_of", [embeddings_request, transcription_request])
def test_it_has_chat_alone(request_of: Any) -> None:
    with pytest.raises(Untranslatable, match="neither embeddings nor transcription"):
        anthropic.encode(request_of(model_entry(anthropic_entry())), None)


# --- The plain fields -----------------------------------------------------------------------------


def test_the_least_that_is_sent() -> None:
    assert sent(output_cap=77) == {
        "model": BUDGETED,
        "max_tokens": 77,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}],
    }


@pytest.mark.parametrize(
    ("asked", "mapped"),
    [
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 4096}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": ["\n", "b"]}, {"stop_sequences": ["b"]}),
        ({"stop": None}, {}),
        ({"stop": []}, {}),
        ({"temperature": 0.3}, {"temperature": 0.3}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 1}, {"temperature": 1}),
        ({"temperature": 1.7}, {"temperature": 1.0}),
        ({"temperature": None}, {}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"top_p": 0.9, "temperature": 0.5}, {"temperature": 0.5}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"safety_identifier": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"n": 1}, {}),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}),
        (
            {"seed": 1, "logprobs": True, "presence_penalty": 1, "metadata": {"a": "b"}, "x": 1},
            {},
        ),
        ({"speed": "fast", "inference_geo": "us", "service_tier": "auto"}, {}),
    ],
)
def test_each_plain_field(asked: dict[str, Any], mapped: dict[str, Any]) -> None:
    plain = sent()
    assert sent(**asked) == {**plain, **mapped}


@pytest.mark.parametrize("model", ["claude-opus-4-7", NEWEST, "claude-mythos-preview"])
def test_newer_models_refuse_a_temperature_so_none_is_sent(model: str) -> None:
    body = sent(model, temperature=0.5, top_p=0.9, top_k=5)
    assert not {"temperature", "top_p", "top_k"} & body.keys()


def test_more_than_one_answer_is_not_to_be_had() -> None:
    assert refused(n=2).param == "n"


# --- Who says what --------------------------------------------------------------------------------


def test_system_and_developer_speak_above_the_messages() -> None:
    body = sent(
        messages=[
            {"role": "system", "content": "Be brief."},
            USER,
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        ]
    )
    assert body["system"] == "Be brief.\n\nBe kind."
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_a_system_to_be_cached_stays_in_blocks() -> None:
    cached = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    body = sent(
        messages=[{"role": "system", "content": [cached]}, {"role": "system", "content": "S"}, USER]
    )
    assert body["system"] == [cached, {"type": "text", "text": "S"}]


def test_what_one_side_says_in_a_row_is_one_turn() -> None:
    assert turns(
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "d"},
        {"role": "user", "content": "e"},
    ) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}],
        },
        {"role": "user", "content": [{"type": "text", "text": "e"}]},
    ]


def test_blanks_are_left_out_for_they_would_be_refused() -> None:
    parts = [{"type": "text", "text": " \n"}, {"type": "text", "text": "b"}]
    assert turns(
        {"role": "user", "content": ""},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "Well,  \n"},
    ) == [
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Well,"}]},
    ]


def test_nothing_said_is_nothing_to_answer() -> None:
    assert refused(messages=[{"role": "system", "content": "s"}]).param == "messages"
    assert refused(messages=[{"role": "user", "content": " "}]).param == "messages"


def test_a_refusal_is_what_the_assistant_said() -> None:
    spoken = {"role": "assistant", "content": None, "refusal": "No."}
    part = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    for message in (spoken, part):
        assert turns(USER, message, USER)[1]["content"] == [{"type": "text", "text": "No."}]


# --- Images ---------------------------------------------------------------------------------------


def looking_at(url: Any, **fields: Any) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}, **fields}
    return {"role": "user", "content": [part]}


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp"])
def test_a_data_url_is_a_base64_source(kind: str) -> None:
    (turn,) = turns(looking_at(f"data:image/{kind};base64,iVBORw0="))
    source = {"type": "base64", "media_type": f"image/{kind}", "data": "iVBORw0="}
    assert turn["content"] == [{"type": "image", "source": source}]


def test_an_address_is_a_url_source() -> None:
    (turn,) = turns(looking_at("https://example.com/a.png", cache_control={"type": "ephemeral"}))
    source = {"type": "url", "url": "https://example.com/a.png"}
    cached = {"cache_control": {"type": "ephemeral"}}
    assert turn["content"] == [{"type": "image", "source": source, **cached}]


@pytest.mark.parametrize(
    "url", ["data:image/tiff;base64,AAAA", "data:image/png,raw", "data:", "", None, 5]
)
def test_other_images_are_refused(url: Any) -> None:
    assert refused(messages=[looking_at(url)]).param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/huge.pdf"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "text"},
        {},
        "text",
    ],
)
def test_other_parts_are_refused(part: Any) -> None:
    where = refused(messages=[{"role": "user", "content": [part]}]).param
    assert where is not None
    assert where.startswith("messages[0].content[0]")
