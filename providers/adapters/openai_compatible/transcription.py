"""Audio transcription: a form with the sound goes out, JSON or plain text comes back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import httpx

from providers import usage
from providers.adapters import malformed
from providers.adapters.openai_compatible.wire import error_in, headers
from providers.requests import JSON_TYPE, Answer, Outcome, TranscriptionRequest
from providers.transport import InboundAnswer, OutboundRequest
from providers.vault import SecretText

# Said by us, whatever the caller said; answers are not streamed.
REPLACED = {"model", "stream"}
ANY_TYPE = "application/octet-stream"
MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(;\s*[\w.+-]+=[\w.+-]+)*", re.ASCII)
# What is not JSON, and how it is labelled.
TEXT_TYPES = {
    "text": "text/plain; charset=utf-8",
    "srt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}


def encode(request: TranscriptionRequest, secret: SecretText | None) -> OutboundRequest:
    """The form as it is sent: every field in order, under the upstream's name for the model."""
    provider = request.model.provider
    media_type = request.content_type
    media_type = media_type if MEDIA_TYPE.fullmatch(media_type) else ANY_TYPE
    parts: list[tuple[str, Any]] = [("model", (None, request.model.upstream_name))]
    parts += [(name, (None, value)) for name, value in request.fields if name not in REPLACED]
    parts.append(("file", (request.filename or "audio", request.audio, media_type)))
    # httpx separates the parts by what nobody can guess, so that no sound can end its own part.
    form = httpx.Request("POST", "http://form.invalid", files=parts)
    return OutboundRequest(
        f"{provider.base_url}/audio/transcriptions",
        {
            "content-type": form.headers["content-type"],
            **headers(secret, accept="application/json, text/plain, */*"),
        },
        form.read(),
    )


def asked_format(fields: Iterable[tuple[str, str]]) -> str:
    """The `response_format` that the form asks for."""
    return dict(fields).get("response_format") or "json"


def decode(inbound: InboundAnswer, request: TranscriptionRequest, *, now: datetime) -> Outcome:
    """The text as it was asked for: within JSON, or as it is."""
    failure = error_in(inbound, now=now)
    if failure is not None:
        return failure
    asked = asked_format(request.fields)
    answer = _text(inbound, asked) if asked in TEXT_TYPES else _json(inbound)
    return answer or malformed(
        "The provider answered 200 with something that is not a transcription.", inbound.status
    )


def _json(inbound: InboundAnswer) -> Answer | None:
    body = inbound.json
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        return None
    return Answer(body, usage.from_transcription(body.get("usage"), body["text"]), JSON_TYPE)


def _text(inbound: InboundAnswer, asked: str) -> Answer | None:
    """Plain text, or what some hosts wrap it in: a JSON string, or JSON's `text` (which is no
    subtitles)."""
    media_type, text_type = inbound.headers.get("content-type", ""), TEXT_TYPES[asked]
    if "html" in media_type:
        return None
    if "json" not in media_type:
        return Answer(inbound.content.decode(errors="replace"), None, text_type)
    if isinstance(inbound.json, str):
        return Answer(inbound.json, None, text_type)
    whole = _json(inbound) if asked == "text" else None
    return whole and Answer(whole.body["text"], whole.usage, text_type)
