"""Hosts that speak OpenAI's chat completions: nearly everyone. Bodies pass through as they are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import httpx
import orjson

from providers import failures, usage
from providers.failures import Failure, FailureClass
from providers.requests import Answer, ChatRequest, Outcome
from providers.transport import InboundAnswer, OutboundRequest, Transport, TransportFailed

HTTP_OK = 200
CAP_NAMES = ("max_completion_tokens", "max_tokens")
# Only OpenAI's own hosts want the newer name: there, newer models refuse the older one. Many others
# know just the older and ignore the newer without a word, so that nothing would cap their output.
NEWER_NAME_HOSTS = ("api.openai.com", "openai.azure.com", "services.ai.azure.com")


async def chat(request: ChatRequest, transport: Transport) -> Outcome:
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
    body = {name: value for name, value in request.body.items() if name not in CAP_NAMES}
    body["model"] = request.model.upstream_name
    body[cap_name(provider.base_url)] = request.output_cap
    headers = {"content-type": "application/json", "accept": "application/json"}
    if provider.credential is not None:
        headers["authorization"] = f"Bearer {provider.credential.text}"
    return OutboundRequest(f"{provider.base_url}/chat/completions", headers, orjson.dumps(body))


@lru_cache(maxsize=256)
def cap_name(base_url: str) -> str:
    """The field that host obeys as the output cap, whichever of the two the caller used."""
    host = httpx.URL(base_url).host
    newer = any(host == known or host.endswith(f".{known}") for known in NEWER_NAME_HOSTS)
    return "max_completion_tokens" if newer else "max_tokens"


def decode(answer: InboundAnswer, request: ChatRequest) -> Outcome:
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
    return Answer(body, usage.from_openai(body.get("usage")))


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
