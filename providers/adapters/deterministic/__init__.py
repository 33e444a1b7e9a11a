"""A provider without a network: the same request has the same answer, for rehearsals and tests.

It has every role, and can be slow and fail as the provider is set to rehearse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from providers.adapters import Untranslatable
from providers.adapters.deterministic import chat, embeddings, transcription
from providers.adapters.deterministic.rehearsal import digest_of, rehearsed_failure
from providers.adapters.listing import ListedModel, Listing
from providers.models import ModelRole
from providers.requests import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    ModelRequest,
    Outcome,
)

__all__ = ["LISTING", "pieces", "send"]

LISTING = Listing(
    (
        ListedModel(
            id="deterministic-chat",
            role=ModelRole.CHAT.value,
            context_window=128_000,
            max_output_tokens=4096,
            tools=True,
            json_mode=True,
            vision=True,
        ),
        ListedModel(id="deterministic-embeddings", role=ModelRole.EMBEDDINGS.value),
        ListedModel(id="deterministic-transcription", role=ModelRole.AUDIO_TRANSCRIPTION.value),
    )
)


async def send(request: ModelRequest) -> Outcome:
    """Answer after the provider's rehearsed latency, or fail if this request is one that fails."""
    provider, digest = request.model.provider, digest_of(request)
    if provider.rehearsal_latency_ms:
        await asyncio.sleep(provider.rehearsal_latency_ms / 1000)
    failure = rehearsed_failure(provider, digest)
    if failure is not None:
        return failure
    try:
        return _answer(request, digest)
    except Untranslatable as error:
        return error.failure()


def pieces(answer: Answer) -> Iterator[Chunk]:
    """A chat's answer as it is streamed."""
    return chat.pieces(answer.body)


def _answer(request: ModelRequest, digest: bytes) -> Answer:
    if isinstance(request, ChatRequest):
        return chat.answer(request, digest)
    if isinstance(request, EmbeddingsRequest):
        return embeddings.answer(request)
    return transcription.answer(request, digest)
