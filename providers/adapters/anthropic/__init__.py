"""Hosts that speak Anthropic's protocol: every request and answer is translated.

The base URL is up to and with the version (https://api.anthropic.com/v1), for vendors that are
compatible as well. Where hub and protocol differ, the hub's form is OpenAI's; what only Anthropic
has (`thinking_blocks`, `cache_control`) keeps its own name in it.
"""

from __future__ import annotations

from datetime import datetime

from providers.adapters import StreamDecoder, Untranslatable
from providers.adapters.anthropic.decode import decode_chat
from providers.adapters.anthropic.encode import encode_chat
from providers.adapters.anthropic.models import list_request, listed
from providers.adapters.anthropic.stream import MessageStream
from providers.requests import ChatRequest, ModelRequest, Outcome
from providers.transport import InboundAnswer, OutboundRequest
from providers.vault import SecretText

__all__ = ["decode", "encode", "list_request", "listed", "stream_decoder"]


def encode(request: ModelRequest, secret: SecretText | None) -> OutboundRequest:
    """The request as it is sent. Raises `Untranslatable`: this protocol has chat alone."""
    return encode_chat(_chat(request), secret)


def decode(inbound: InboundAnswer, request: ModelRequest, *, now: datetime) -> Outcome:
    """The outcome an answer stands for."""
    return decode_chat(inbound, _chat(request), now=now)


def stream_decoder(request: ChatRequest, *, now: datetime) -> StreamDecoder:
    """For the events of a streamed answer."""
    return MessageStream(request, now=now)


def _chat(request: ModelRequest) -> ChatRequest:
    if isinstance(request, ChatRequest):
        return request
    raise Untranslatable(
        "Anthropic's protocol has neither embeddings nor transcription. Ask a model of another "
        "provider.",
        param="model",
    )
