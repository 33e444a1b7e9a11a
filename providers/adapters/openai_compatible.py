"""Hosts that speak OpenAI's chat completions: nearly everyone. Bodies pass through as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from providers import failures, usage
from providers.chat import ChatAnswer, ChatOutcome, ChatRequest
from providers.failures import Failure, FailureClass
from providers.transport import InboundAnswer, OutboundRequest, Transport, TransportFailed

HTTP_OK = 200


async def chat(request: ChatRequest, transport: Transport) -> ChatOutcome:
    """Make the call once."""
    provider = request.model.provider
    try:
        answer = await transport.post(
            encode(request),
            connect_timeout=provider.connect_timeout,
            total_timeout=provider.total_timeout,
        )
    except TransportFailed as error:
        return error.failure
    return decode(answer, request)


def encode(request: ChatRequest) -> OutboundRequest:
    """The request as it is sent: the upstream's model name, and an output cap that is paid for."""
    provider = request.model.provider
    body = dict(request.body)
    body["model"] = request.model.upstream_name
    body.update(capped(body, request.output_cap))
    headers = {"content-type": "application/json", "accept": "application/json"}
    if provider.credential is not None:
        headers["authorization"] = f"Bearer {provider.credential.text}"
    return OutboundRequest(f"{provider.base_url}/chat/completions", headers, orjson.dumps(body))


def capped(body: Mapping[str, Any], output_cap: int) -> dict[str, int]:
    """The output cap under the name the caller used, or `max_tokens`, which every host knows."""
    named = [name for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    return dict.fromkeys(named or ["max_tokens"], output_cap)


def decode(answer: InboundAnswer, request: ChatRequest) -> ChatOutcome:
    """The outcome an answer stands for. An error body is a failure even where the status is 200."""
    body = answer.json
    if answer.status != HTTP_OK or (isinstance(body, dict) and body.get("error")):
        return failures.from_http(answer.status, body)
    if not _is_completion(body):
        return Failure(
            failure_class=FailureClass.MALFORMED_RESPONSE,
            message="The provider answered 200 with something that is not a chat completion.",
            http_status=answer.status,
            may_be_billed=True,
        )
    body["model"] = request.model.name
    return ChatAnswer(body, usage.from_openai(body.get("usage")))


def _is_completion(body: Any) -> bool:
    choices = body.get("choices") if isinstance(body, dict) else None
    return (
        isinstance(choices, list)
        and bool(choices)
        and all(
            isinstance(choice, dict) and isinstance(choice.get("message"), dict)
            for choice in choices
        )
    )
