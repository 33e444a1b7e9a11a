"""Chat completions."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import httpx

from providers import usage
from providers.adapters import malformed
from providers.adapters.openai_compatible.wire import (
    EVENT_STREAM,
    JSON,
    error_in,
    failed_choice,
    post_json,
)
from providers.registry import ProviderEntry
from providers.requests import Answer, ChatRequest, Outcome
from providers.transport import InboundAnswer, OutboundRequest
from providers.vault import SecretText

CAP_NAMES = ("max_completion_tokens", "max_tokens")
# Said by us, whatever the caller said.
REPLACED = {*CAP_NAMES, "stream", "stream_options"}
# Only OpenAI's own hosts want the newer name: there, newer models refuse the older one. Many others
# know just the older and ignore the newer without a word, so that nothing would cap their output.
NEWER_NAME_HOSTS = ("api.openai.com", "openai.azure.com", "services.ai.azure.com")


def encode(request: ChatRequest, secret: SecretText | None) -> OutboundRequest:
    """The request as it is sent: the upstream's model name, and an output cap that is paid for."""
    provider = request.model.provider
    body = {name: value for name, value in request.body.items() if name not in REPLACED}
    body["model"] = request.model.upstream_name
    body[_cap_name(provider)] = request.output_cap
    if request.stream:
        body["stream"] = True
        body["stream_options"] = _stream_options(request)
    accept = EVENT_STREAM if request.stream else JSON
    return post_json(provider, "chat/completions", body, secret, accept=accept)


def _stream_options(request: ChatRequest) -> dict[str, Any]:
    """Usage is asked for whether or not the caller wants to see it."""
    asked = request.body.get("stream_options")
    return {**(asked if isinstance(asked, dict) else {}), "include_usage": True}


def _cap_name(provider: ProviderEntry) -> str:
    return provider.output_cap_field or cap_name(provider.base_url)


@lru_cache(maxsize=256)
def cap_name(base_url: str) -> str:
    """The field that host obeys as the output cap, whichever of the two the caller used."""
    host = httpx.URL(base_url).host
    newer = any(host == known or host.endswith(f".{known}") for known in NEWER_NAME_HOSTS)
    return "max_completion_tokens" if newer else "max_tokens"


def decode(inbound: InboundAnswer, request: ChatRequest, *, now: datetime) -> Outcome:
    """The answer under the name the client knows the model by."""
    failure = error_in(inbound, now=now)
    if failure is not None:
        return failure
    body = inbound.json
    if not _is_completion(body):
        return malformed(
            "The provider answered 200 with something that is not a chat completion.",
            inbound.status,
        )
    failure = failed_choice(body["choices"])
    if failure is not None:
        return failure
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
