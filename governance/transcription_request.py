"""Reading a transcription request: what may be asked, and how large it can be at most."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import isfinite

from governance.errors import InvalidRequest
from governance.parsed_request import LONGEST_NAME, requested_model
from providers.candidates import Needs
from providers.models import ModelRole
from providers.registry import ModelEntry
from providers.requests import TranscriptionRequest

FILE = "file"
FORMATS = ("json", "verbose_json", "diarized_json", "text", "srt", "vtt")
MOST_FIELDS = 64
LONGEST_FILENAME = 255
CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}")
# Four samples of known voices, ten seconds each, fit; a prompt is far below.
LARGEST_FIELDS = 2 * 1024 * 1024
LARGEST_PROMPT = 64 * 1024
HIGHEST_TEMPERATURE = 2.0
BYTES_PER_TOKEN = 4
# No codec in use packs speech tighter; a bound that can be low is no bound. Silence packs into next
# to nothing, so a file may be as long as models that count tokens take, however small it is: 1,500
# seconds of ten tokens each.
LEAST_AUDIO_PER_TOKEN = 4
LONGEST_SILENCE = 15_000
REQUEST_OVERHEAD = 64
# Ordinary compressed speech: 16 kB and ten tokens a second, of which a third is spoken words.
AUDIO_PER_TOKEN = 1_600
AUDIO_PER_SPOKEN_TOKEN = 3 * AUDIO_PER_TOKEN
# Given twice, it would be unclear which one the host takes.
ONCE = ("model", "language", "prompt", "response_format", "temperature", "stream")
# Fields that no host puts before the model; any other may be a hint in words, and counts.
NOT_IN_PROMPT = {
    "model",
    "language",
    "response_format",
    "temperature",
    "stream",
    "timestamp_granularities[]",
    "include[]",
}
VOICES = "known_speaker_references[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionForm:
    """The form of a transcription request: its fields in order, and its one file."""

    fields: tuple[tuple[str, str], ...]
    filename: str
    content_type: str
    audio: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTranscription:
    """A transcription request that can be made; sizes are tokens."""

    model: str
    form: TranscriptionForm
    input_bound: int
    expected_input: int
    role: str = ModelRole.AUDIO_TRANSCRIPTION.value
    output_limit: int | None = None
    choices: int = 1
    features: None = None
    least_output: None = None

    @property
    def needs(self) -> Needs:
        """What it takes of a model."""
        return Needs(role=self.role, input_tokens=self.expected_input)

    def texts(self) -> tuple[()]:
        """None: a prompt is next to nothing beside the audio."""
        return ()

    def output_cap(self, model_cap: int) -> int:
        """As much as the model gives: the caller has no say in how much is spoken."""
        return model_cap

    def expected_output(self, output_cap: int) -> int:
        """How much is likely to be spoken in audio of that size."""
        return min(output_cap, -(-len(self.form.audio) // AUDIO_PER_SPOKEN_TOKEN))

    def request_for(self, model: ModelEntry, output_cap: int) -> TranscriptionRequest:
        """The request as `model` is asked it."""
        return TranscriptionRequest(
            model=model,
            fields=self.form.fields,
            filename=self.form.filename,
            content_type=self.form.content_type,
            audio=self.form.audio,
        )


def parse(form: TranscriptionForm) -> ParsedTranscription:
    """Check a transcription's form. Raises `InvalidRequest` naming the field at fault.

    Only what Palyra must understand is checked; everything else is the provider's to judge.
    """
    _check_file(form)
    _check_size(form)
    given = dict(form.fields)
    for name in ONCE:
        if sum(one == name for one, _ in form.fields) > 1:
            raise InvalidRequest(f"Give “{name}” once.", param=name)
    _check_options(given)
    prompt = sum(_size(text) for name, text in form.fields if name not in {*NOT_IN_PROMPT, VOICES})
    voices = sum(len(text) for name, text in form.fields if name == VOICES)
    audio = len(form.audio)
    return ParsedTranscription(
        model=requested_model(given.get("model", "")),
        form=form,
        input_bound=max(LONGEST_SILENCE, -(-(audio + voices) // LEAST_AUDIO_PER_TOKEN))
        + prompt
        + REQUEST_OVERHEAD,
        expected_input=-(-audio // AUDIO_PER_TOKEN) + -(-prompt // BYTES_PER_TOKEN),
    )


def _check_file(form: TranscriptionForm) -> None:
    if not form.audio:
        raise InvalidRequest("The audio file is empty.", param=FILE)
    name = form.filename
    if not name or len(name) > LONGEST_FILENAME or not name.isprintable():
        raise InvalidRequest(
            f"The file needs a name of at most {LONGEST_FILENAME} printable characters; its ending "
            "tells the provider what it is.",
            param=FILE,
        )
    if not CONTENT_TYPE.fullmatch(form.content_type):
        raise InvalidRequest("The file's content type is not one such as “audio/wav”.", param=FILE)


def _check_size(form: TranscriptionForm) -> None:
    if len(form.fields) > MOST_FIELDS:
        raise InvalidRequest(f"The form has more than {MOST_FIELDS} fields.")
    for name, _ in form.fields:
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(
                f"Each field of the form needs a name of at most {LONGEST_NAME} printable "
                "characters."
            )
    if sum(_size(name + text) for name, text in form.fields) > LARGEST_FIELDS:
        raise InvalidRequest(f"The form's fields have more than {LARGEST_FIELDS:,} bytes together.")


def _check_options(given: dict[str, str]) -> None:
    if _size(given.get("prompt", "")) > LARGEST_PROMPT:
        raise InvalidRequest(f"The prompt has more than {LARGEST_PROMPT:,} bytes.", param="prompt")
    if given.get("response_format", FORMATS[0]) not in FORMATS:
        raise InvalidRequest(
            f"response_format is one of {', '.join(FORMATS)}.", param="response_format"
        )
    if not _is_temperature(given.get("temperature", "0")):
        raise InvalidRequest(
            f"temperature must be a number from 0 to {HIGHEST_TEMPERATURE:g}.", param="temperature"
        )
    if given.get("stream", "false").strip().lower() not in {"", "0", "false"}:
        raise InvalidRequest(
            "Transcriptions are not streamed; leave “stream” out or set it to false.",
            param="stream",
        )


def _is_temperature(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return isfinite(value) and 0 <= value <= HIGHEST_TEMPERATURE


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("A field of the form is not valid Unicode.") from None
