"""Reading a transcription request: what is refused and why, and bounds that hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import InvalidRequest
from governance.transcription_request import (
    FORMATS,
    LARGEST_FIELDS,
    LARGEST_PROMPT,
    MOST_FIELDS,
    REQUEST_OVERHEAD,
    TranscriptionForm,
    parse,
)
from providers.requests import TranscriptionRequest
from tests.providers.entries import model_entry

VOICE = "known_speaker_references[]"


def form(
    *fields: tuple[str, str],
    model: str = "scribe",
    filename: str = "talk.wav",
    content_type: str = "audio/wav",
    audio: bytes = b"RIFF",
) -> TranscriptionForm:
    """A form for the model, with more fields behind its name."""
    return TranscriptionForm(
        fields=(("model", model), *fields),
        filename=filename,
        content_type=content_type,
        audio=audio,
    )


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        pytest.param(form(model=""), "model", id="no model"),
        pytest.param(form(model="  "), "model", id="a blank model"),
        pytest.param(form(model="x" * 201), "model", id="a name too long"),
        pytest.param(form(("model", "other")), "model", id="two models"),
        pytest.param(form(audio=b""), "file", id="an empty file"),
        pytest.param(form(filename=""), "file", id="a file without a name"),
        pytest.param(form(filename="x" * 256), "file", id="a file with a name too long"),
        pytest.param(form(filename="a\r\nb.wav"), "file", id="a name of two lines"),
        pytest.param(form(content_type=""), "file", id="no content type"),
        pytest.param(form(content_type="audio"), "file", id="half a content type"),
        pytest.param(form(content_type="audio/wav\nx: y"), "file", id="a type of two lines"),
        pytest.param(form(content_type="audio/" + "x" * 65), "file", id="a type too long"),
        pytest.param(form(("response_format", "html")), "response_format", id="another format"),
        pytest.param(
            form(("response_format", "srt"), ("response_format", "vtt")),
            "response_format",
            id="two formats",
        ),
        pytest.param(form(("stream", "true")), "stream", id="a stream"),
        pytest.param(form(("stream", "True")), "stream", id="a stream in Python's words"),
        pytest.param(form(("stream", "1")), "stream", id="a stream by number"),
        pytest.param(form(("temperature", "warm")), "temperature", id="a temperature in words"),
        pytest.param(form(("temperature", "nan")), "temperature", id="no temperature at all"),
        pytest.param(form(("temperature", "inf")), "temperature", id="no end of temperature"),
        pytest.param(form(("temperature", "-0.1")), "temperature", id="below zero"),
        pytest.param(form(("temperature", "2.1")), "temperature", id="too hot"),
        pytest.param(form(("prompt", "x" * (LARGEST_PROMPT + 1))), "prompt", id="a long prompt"),
        pytest.param(form(("prompt", "a"), ("prompt", "b")), "prompt", id="two prompts"),
        pytest.param(form(*[("word", "x")] * MOST_FIELDS), None, id="too many fields"),
        pytest.param(form(("", "x")), None, id="a field without a name"),
        pytest.param(form(("a\nb", "x")), None, id="a field with a name of two lines"),
        pytest.param(form(("x" * 201, "x")), None, id="a field with a name too long"),
        pytest.param(form((VOICE, "x" * LARGEST_FIELDS)), None, id="too much in the fields"),
        pytest.param(form(("more", "\ud800")), None, id="half a character"),
    ],
)
def test_a_form_at_fault_names_the_field(asked: TranscriptionForm, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(asked)
    assert caught.value.param == param
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_may_be_asked_for(name: str) -> None:
    assert parse(form(("response_format", name))).model == "scribe"


@pytest.mark.parametrize(
    "field",
    [
        ("stream", "false"),
        ("stream", "False"),
        ("stream", "0"),
        ("stream", ""),
        ("temperature", "0"),
        ("temperature", "2"),
        ("temperature", "0.4"),
        ("language", "nl"),
        ("timestamp_granularities[]", "word"),
        ("prompt", "x" * LARGEST_PROMPT),
        ("something", "new"),
    ],
)
def test_what_may_be_asked_is_passed_on(field: tuple[str, str]) -> None:
    asked = form(field, ("include[]", "logprobs"), ("include[]", "more"))
    made = parse(asked).request_for(model_entry(), 100)
    assert isinstance(made, TranscriptionRequest)
    assert made.fields == asked.fields
    assert (made.filename, made.content_type, made.audio) == ("talk.wav", "audio/wav", b"RIFF")


def test_the_most_fields_may_be_sent() -> None:
    assert parse(form(*[("word", "x")] * (MOST_FIELDS - 1))).model == "scribe"
    filled = LARGEST_FIELDS - len("modelscribe") - len(VOICE)
    assert parse(form((VOICE, "x" * filled))).model == "scribe"


@pytest.mark.parametrize(
    ("asked", "bound", "expected"),
    [
        pytest.param(form(audio=b"x"), 15_000, 1, id="a byte, which may be much silence"),
        pytest.param(form(audio=b"x" * 64_000), 16_000, 40, id="some audio"),
        pytest.param(form(("prompt", "Zoë"), audio=b"x" * 1_600), 15_004, 2, id="a prompt's bytes"),
        pytest.param(
            form(("language", "nl"), ("response_format", "vtt"), audio=b"x" * 64_000),
            16_000,
            40,
            id="settings",
        ),
        pytest.param(form(("hotwords", "abcd"), audio=b"x" * 1_600), 15_004, 2, id="unknown words"),
        pytest.param(form((VOICE, "abcd"), audio=b"x" * 64_000), 16_001, 40, id="a voice"),
    ],
)
def test_it_is_as_large_as_its_audio_and_its_words(
    asked: TranscriptionForm, bound: int, expected: int
) -> None:
    parsed = parse(asked)
    assert parsed.input_bound == bound + REQUEST_OVERHEAD
    assert parsed.expected_input == expected


def test_its_output_is_at_most_what_the_model_gives() -> None:
    parsed = parse(form(audio=b"x" * 48_000))
    assert (parsed.output_limit, parsed.choices) == (None, 1)
    assert parsed.output_cap(448) == 448
    assert parsed.expected_output(448) == 10
    assert parsed.expected_output(4) == 4
    assert parse(form(audio=b"x")).expected_output(448) == 1


def test_it_needs_a_model_that_transcribes() -> None:
    needs = parse(form(audio=b"x" * 16_000)).needs
    assert (needs.role, needs.input_tokens, needs.streaming) == ("audio_transcription", 10, False)


def test_no_audio_is_shown_where_a_form_is() -> None:
    assert "secret" not in repr(parse(form(audio=b"secret")))


texts = st.text(max_size=20)
names = st.sampled_from(["model", "prompt", "temperature", "stream", "response_format"]) | texts


@given(
    st.builds(
        TranscriptionForm,
        fields=st.lists(st.tuples(names, texts), max_size=8).map(tuple),
        filename=texts,
        content_type=st.just("audio/wav") | texts,
        audio=st.binary(max_size=50),
    )
)
def test_any_form_is_read_or_refused(asked: TranscriptionForm) -> None:
    try:
        parsed = parse(asked)
    except InvalidRequest:
        return
    assert 0 < parsed.expected_input <= parsed.input_bound
    assert parsed.expected_output(100) <= 100
