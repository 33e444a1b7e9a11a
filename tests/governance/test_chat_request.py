"""Reading a chat request: what is refused and why, and bounds that hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.chat_request import EXPECTED_OUTPUT, IMAGE_TOKENS, parse
from governance.errors import InvalidRequest

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello."}]
# The dearest image there is: a base of 2,833 tokens and eight tiles of 5,667 each.
DEAREST_IMAGE = 2833 + 8 * 5667


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "nice", "messages": HELLO, **fields}


def part(kind: Any, **fields: Any) -> dict[str, Any]:
    return asked(messages=[{"role": "user", "content": [{"type": kind, **fields}]}])


@pytest.mark.parametrize(
    ("field", "dearer", "plain"),
    [
        ("models", ["dear"], None),
        ("route", "fallback", None),
        ("plugins", [{"id": "web"}], None),
        ("provider", {"order": ["dear"]}, None),
        ("preset", "@preset/dear", None),
        ("search_parameters", {"mode": "on"}, None),
        ("enable_search", True, False),
        ("web_search_options", {}, None),
        ("prediction", {"type": "content", "content": "x"}, None),
        ("tools", [{"type": "web_search_preview"}], [{"type": "function", "function": {}}]),
        ("audio", {"voice": "one"}, None),
        ("service_tier", "priority", "default"),
        ("service_tier", ["priority"], "auto"),
        ("modalities", ["text", "audio"], ["text"]),
    ],
)
def test_what_a_price_does_not_say_cannot_be_asked_for(field: str, dearer: Any, plain: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(asked(**{field: dearer}))
    assert caught.value.param == field
    assert "cost more" in caught.value.message
    assert parse(asked(**{field: plain})).model == "nice"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param([], None, id="a list"),
        pytest.param("text", None, id="text"),
        pytest.param(1, None, id="a number"),
        pytest.param(asked(model=None), "model", id="no model"),
        pytest.param(asked(model=""), "model", id="an empty model"),
        pytest.param(asked(model="  "), "model", id="a blank model"),
        pytest.param(asked(model=["nice"]), "model", id="a list of models"),
        pytest.param(asked(messages=None), "messages", id="no messages"),
        pytest.param(asked(messages=[]), "messages", id="an empty list of messages"),
        pytest.param(asked(messages={}), "messages", id="messages that are an object"),
        pytest.param(asked(messages="Hello."), "messages", id="messages that are text"),
        pytest.param(asked(messages=["Hello."]), "messages[0]", id="a message that is text"),
        pytest.param(asked(messages=[None]), "messages[0]", id="a null message"),
        pytest.param(asked(messages=[{}]), "messages[0]", id="a message without a role"),
        pytest.param(
            asked(messages=[*HELLO, {"role": "narrator"}]), "messages[1]", id="an unknown role"
        ),
        pytest.param(asked(messages=[{"role": []}]), "messages[0]", id="a role that is a list"),
        pytest.param(asked(messages=[{"role": {}}]), "messages[0]", id="a role that is an object"),
        pytest.param(
            asked(messages=[{"role": "user", "content": {}}]),
            "messages[0].content",
            id="content that is an object",
        ),
        pytest.param(
            asked(messages=[{"role": "user", "content": 5}]),
            "messages[0].content",
            id="content that is a number",
        ),
        pytest.param(
            part("file", file={"file_id": "file-1"}),
            "messages[0].content[0].type",
            id="a file by its name",
        ),
        pytest.param(
            part("video_url", video_url={"url": "https://example.com/a.mp4"}),
            "messages[0].content[0].type",
            id="a video by its address",
        ),
        pytest.param(
            part(None, audio_url={"url": "https://example.com/a.wav"}),
            "messages[0].content[0].type",
            id="a sound by its address, without a type",
        ),
        pytest.param(
            part("text", text="x", video_url={"url": "a"}),
            "messages[0].content[0].type",
            id="a video that calls itself text",
        ),
        pytest.param(
            part("input_audio", input_audio={"data": "https://example.com/a.wav"}),
            "messages[0].content[0].type",
            id="a sound by its address, in the place of its data",
        ),
        pytest.param(part("video", video=["a", "b"]), "messages[0].content[0].type", id="a video"),
        pytest.param(
            part("document", source={"type": "file"}),
            "messages[0].content[0].type",
            id="a document",
        ),
        pytest.param(
            asked(messages=[{"role": "user", "content": "\ud800"}]), None, id="half a character"
        ),
        pytest.param(asked(seed=2**64), None, id="a number too large for JSON"),
        pytest.param(asked(stream="false"), "stream", id="a stream, by a word"),
        pytest.param(asked(max_tokens=0), "max_tokens", id="no output"),
        pytest.param(asked(max_tokens=-5), "max_tokens", id="negative output"),
        pytest.param(asked(max_tokens=10.0), "max_tokens", id="output that is a float"),
        pytest.param(asked(max_tokens=True), "max_tokens", id="output that is a bool"),
        pytest.param(asked(max_tokens="10"), "max_tokens", id="output that is text"),
        pytest.param(
            asked(max_tokens=10, max_completion_tokens=0), "max_completion_tokens", id="the other"
        ),
        pytest.param(asked(n=0), "n", id="no choices"),
        pytest.param(asked(n=17), "n", id="too many choices"),
        pytest.param(asked(n=1.0), "n", id="choices that are a float"),
        pytest.param(asked(n=True), "n", id="choices that are a bool"),
    ],
)
def test_what_cannot_be_asked_names_its_field(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert caught.value.param == param
    assert caught.value.status == 400
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(asked(stream=False, stream_options=None), id="no stream"),
        pytest.param(asked(stream=True, stream_options={"include_usage": True}), id="a stream"),
        pytest.param(asked(n=None, max_tokens=None), id="nulls"),
        pytest.param(asked(n=16), id="the most choices"),
        pytest.param(asked(messages=[{"role": "assistant", "content": None}]), id="null content"),
        pytest.param(asked(messages=[{"role": "tool", "tool_call_id": "1"}]), id="no content"),
        pytest.param(
            asked(messages=[{"role": "user", "content": ["loose text", None, 5]}]), id="odd parts"
        ),
        pytest.param(part("text", text="Hello."), id="a part of text"),
        pytest.param(part(None), id="a part without a type"),
        pytest.param(part(["text"]), id="a part with an odd type"),
        pytest.param(part("thinking", thinking="Hm."), id="a part of another host"),
        pytest.param(part("text", text="https://example.com/"), id="an address to be read"),
        pytest.param(part("input_audio", input_audio={"data": "UklGR"}), id="a sound"),
        pytest.param(asked(temperature="warm", something_new=[1]), id="what the provider judges"),
    ],
)
def test_everything_else_is_the_providers_to_judge(body: dict[str, Any]) -> None:
    assert parse(body).body is body


def test_blanks_around_a_models_name_are_nothing() -> None:
    assert parse(asked(model=" nice ")).model == "nice"


@pytest.mark.parametrize(
    ("fields", "model_cap", "output_cap"),
    [
        ({}, 100, 100),
        ({"max_tokens": 30}, 100, 30),
        ({"max_completion_tokens": 30}, 100, 30),
        ({"max_tokens": 40, "max_completion_tokens": 30}, 100, 30),
        ({"max_tokens": 30, "max_completion_tokens": 40}, 100, 30),
        ({"max_tokens": 300}, 100, 100),
        ({"max_tokens": 2**63}, 100, 100),
    ],
)
def test_the_smallest_cap_counts(fields: dict[str, Any], model_cap: int, output_cap: int) -> None:
    assert parse(asked(**fields)).output_cap(model_cap) == output_cap


def test_all_choices_together_are_expected() -> None:
    chat = parse(asked(n=3))
    assert chat.choices == 3
    assert chat.expected_output(10) == 30
    assert chat.expected_output(10**6) == 3 * EXPECTED_OUTPUT


texts = st.text(max_size=60)
contents = (
    st.none() | texts | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}))
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": contents},
        optional={"name": texts, "tool_call_id": texts, "refusal": texts},
    ),
    min_size=1,
    max_size=6,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
others = st.dictionaries(
    st.sampled_from(["tools", "functions", "response_format", "documents", "user", "metadata"]),
    json_values,
)


def text_bytes(value: Any) -> int:
    """The UTF-8 bytes of every text in `value`, the names of fields included."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return sum(text_bytes(name) + text_bytes(inner) for name, inner in value.items())
    if isinstance(value, list):
        return sum(text_bytes(inner) for inner in value)
    return 0


@given(said=messages, more=others)
def test_no_tokenizer_makes_more_of_a_request_than_its_bound(
    said: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    body = asked(messages=said, **more)
    chat = parse(body)
    assert chat.input_bound >= text_bytes(body)
    assert 1 <= chat.expected_input <= chat.input_bound


@given(texts)
def test_a_longer_text_never_has_a_smaller_bound(text: str) -> None:
    short, long = (parse(asked(messages=[{"role": "user", "content": c}])) for c in ("", text))
    assert long.input_bound >= short.input_bound
    assert long.expected_input >= short.expected_input


def image(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address, "detail": "high"}}


def test_an_image_counts_as_the_dearest_one_however_it_is_sent() -> None:
    def bound(*parts: dict[str, Any]) -> int:
        return parse(asked(messages=[{"role": "user", "content": list(parts)}])).input_bound

    none, linked = bound(), bound(image("https://example.com/a.png"))
    inline = bound(image("data:image/png;base64," + "A" * 1_000_000))
    assert linked == inline == none + IMAGE_TOKENS
    assert bound(image("a"), image("b")) == none + 2 * IMAGE_TOKENS
    assert IMAGE_TOKENS >= DEAREST_IMAGE


@pytest.mark.parametrize(
    "other",
    [
        {"image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "x", "uuid": "1", "image_url": {"url": "https://a.example"}},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"image": "https://example.com/a.png"},
    ],
)
def test_an_image_is_one_in_whatever_way_hosts_take_it(other: dict[str, Any]) -> None:
    bodies = [asked(messages=[{"role": "user", "content": c}]) for c in ([], [other])]
    none, one = (parse(body).input_bound for body in bodies)
    assert one >= none + IMAGE_TOKENS


def test_an_image_hides_no_text() -> None:
    said = {"type": "text", "text": "x" * 100_000, "image_url": {"url": "a"}}
    assert parse(asked(messages=[{"role": "user", "content": [said]}])).input_bound > 100_000


def test_a_part_nested_without_end_is_refused() -> None:
    nested: Any = "https://example.com/a.wav"
    for _ in range(1000):
        nested = [nested]
    with pytest.raises(InvalidRequest):
        parse(part("sound", data=nested))


def test_an_image_is_expected_to_take_something() -> None:
    without, with_one = (
        parse(asked(messages=[{"role": "user", "content": parts}]))
        for parts in ([], [image("data:image/png;base64," + "A" * 1_000_000)])
    )
    assert 500 < with_one.expected_input - without.expected_input < 5000


@pytest.mark.parametrize("field", ["tools", "functions", "response_format", "documents"])
def test_what_hosts_put_into_the_prompt_counts(field: str) -> None:
    value = [{"text": "A long description. " * 50}]
    difference = parse(asked(**{field: value})).input_bound - parse(asked()).input_bound
    assert difference >= len(orjson.dumps(value))


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "c", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "c"}]},
    ],
)
def test_tools_that_were_used_before_may_have_to_be_described_again(message: Any) -> None:
    """Anthropic refuses a conversation with tool calls that declares no tools."""
    plain = {"role": "user", "content": orjson.dumps(message).decode()}
    with_tools = parse({"model": "m", "messages": [message]})
    without = parse({"model": "m", "messages": [plain]})
    assert with_tools.input_bound > without.input_bound + 500
