"""Transcription: always the same words for the same sound, in every format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from providers.adapters.deterministic.phrases import sentences
from providers.adapters.openai_compatible.transcription import TEXT_TYPES, asked_format
from providers.requests import JSON_TYPE, Answer, TranscriptionRequest
from providers.usage import Usage, tokens_of

BYTES_PER_SECOND = 16_000
BYTES_PER_AUDIO_TOKEN = 1_600


def answer(request: TranscriptionRequest, digest: bytes) -> Answer:
    """The words in the format that was asked for."""
    said, size = sentences(digest), len(request.audio)
    text, seconds = " ".join(said), max(1.0, size / BYTES_PER_SECOND)
    usage = Usage(
        uncached_input=max(1, size // BYTES_PER_AUDIO_TOKEN), output=tokens_of(len(text.encode()))
    )
    spans = _spans(said, seconds)
    asked = asked_format(request.fields)
    if asked in TEXT_TYPES:
        return Answer(_subtitles(asked, spans) or text, usage, TEXT_TYPES[asked])
    body: dict[str, Any] = {"text": text}
    if asked == "verbose_json":
        body |= _verbose(request, spans, seconds)
    elif asked == "diarized_json":
        body |= {"task": "transcribe", "duration": seconds, "segments": _spoken(spans)}
    reported = {
        "type": "tokens",
        "input_tokens": usage.input,
        "input_token_details": {"text_tokens": 0, "audio_tokens": usage.input},
        "output_tokens": usage.output,
        "total_tokens": usage.total,
    }
    body["usage"] = {"type": "duration", "seconds": seconds} if "language" in body else reported
    return Answer(body, usage, JSON_TYPE)


Span = tuple[float, float, str]


def _spans(said: list[str], seconds: float) -> list[Span]:
    """From when to when each sentence is said: each as long."""
    each = seconds / len(said)
    return [
        (round(each * index, 3), round(each * (index + 1), 3), text)
        for index, text in enumerate(said)
    ]


def _verbose(request: TranscriptionRequest, spans: list[Span], seconds: float) -> dict[str, Any]:
    fields = dict(request.fields)
    segments = [
        {
            "id": index,
            "seek": 0,
            "start": start,
            "end": end,
            "text": text,
            "tokens": [],
            "temperature": 0.0,
            "avg_logprob": -0.1,
            "compression_ratio": 1.0,
            "no_speech_prob": 0.0,
        }
        for index, (start, end, text) in enumerate(spans)
    ]
    verbose: dict[str, Any] = {
        "task": "transcribe",
        "language": fields.get("language") or "english",
        "duration": seconds,
        "segments": segments,
    }
    if ("timestamp_granularities[]", "word") in request.fields:
        verbose["words"] = [
            {"word": word, "start": one, "end": other} for one, other, word in _words(spans)
        ]
    return verbose


def _spoken(spans: list[Span]) -> list[dict[str, Any]]:
    return [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{index}",
            "start": start,
            "end": end,
            "text": text,
            "speaker": "A",
        }
        for index, (start, end, text) in enumerate(spans)
    ]


def _words(spans: Iterable[Span]) -> Iterable[Span]:
    for start, end, text in spans:
        words = text.split()
        each = (end - start) / len(words)
        for index, word in enumerate(words):
            yield round(start + each * index, 3), round(start + each * (index + 1), 3), word


def _subtitles(asked: str, spans: list[Span]) -> str:
    """SubRip's or WebVTT's; nothing for plain text."""
    if asked == "srt":
        cues = [
            f"{index}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n"
            for index, (start, end, text) in enumerate(spans, 1)
        ]
        return "\n".join(cues)
    if asked == "vtt":
        cues = [
            f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n" for start, end, text in spans
        ]
        return "\n".join(["WEBVTT\n", *cues])
    return ""


def _clock(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{thousandths:03}"
