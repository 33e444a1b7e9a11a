"""Embeddings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from providers import usage
from providers.adapters import malformed
from providers.adapters.openai_compatible.wire import error_in, post_json
from providers.requests import Answer, EmbeddingsRequest, Outcome
from providers.transport import InboundAnswer, OutboundRequest
from providers.vault import SecretText


def encode(request: EmbeddingsRequest, secret: SecretText | None) -> OutboundRequest:
    """The request as it is sent, under the upstream's name for the model."""
    body = {**request.body, "model": request.model.upstream_name}
    return post_json(request.model.provider, "embeddings", body, secret)


def decode(inbound: InboundAnswer, request: EmbeddingsRequest, *, now: datetime) -> Outcome:
    """One embedding for each input, or the answer is no answer."""
    failure = error_in(inbound, now=now)
    if failure is not None:
        return failure
    body = inbound.json
    if not _has_embeddings(body, inputs(request.body.get("input"))):
        return malformed(
            "The provider answered 200 with something that is not an embedding of each input.",
            inbound.status,
        )
    body["model"] = request.model.name
    return Answer(body, usage.from_openai(body.get("usage")))


def inputs(asked: Any) -> int:
    """How many things to embed `asked` is: a text, token ids, or a list of either."""
    one = not isinstance(asked, list) or (bool(asked) and isinstance(asked[0], int))
    return 1 if one else len(asked)


def _has_embeddings(body: Any, expected: int) -> bool:
    data = body.get("data") if isinstance(body, dict) else None
    return (
        isinstance(data, list)
        and len(data) == expected
        and all(
            isinstance(one, dict) and isinstance(one.get("embedding"), list | str) for one in data
        )
    )
