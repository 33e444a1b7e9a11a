"""Hosts that speak OpenAI's protocol: nearly everyone. Bodies pass through as they are.

The model's name is the upstream's on the way out and the client's on the way back; the output cap
goes under the one name the host obeys. Everything else, known or not, survives both ways.
"""

from __future__ import annotations

from datetime import datetime

from providers.adapters import StreamDecoder
from providers.adapters.openai_compatible import chat, embeddings, transcription
from providers.adapters.openai_compatible.models import list_request, listed
from providers.adapters.openai_compatible.stream import ChatStream
from providers.requests import ChatRequest, EmbeddingsRequest, ModelRequest, Outcome
from providers.transport import InboundAnswer, OutboundRequest
from providers.vault import SecretText

__all__ = ["decode", "encode", "list_request", "listed", "stream_decoder"]


def encode(request: ModelRequest, secret: SecretText | None) -> OutboundRequest:
    """The request as it is sent."""
    if isinstance(request, ChatRequest):
        return chat.encode(request, secret)
    if isinstance(request, EmbeddingsRequest):
        return embeddings.encode(request, secret)
    return transcription.encode(request, secret)


def decode(inbound: InboundAnswer, request: ModelRequest, *, now: datetime) -> Outcome:
    """The outcome an answer stands for. An error body is a failure even where the status is 200."""
    if isinstance(request, ChatRequest):
        return chat.decode(inbound, request, now=now)
    if isinstance(request, EmbeddingsRequest):
        return embeddings.decode(inbound, request, now=now)
    return transcription.decode(inbound, request, now=now)


def stream_decoder(request: ChatRequest, *, now: datetime) -> StreamDecoder:
    """For the events of a streamed answer, which bring their own time."""
    return ChatStream(request)
