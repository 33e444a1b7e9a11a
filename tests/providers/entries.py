"""Registry entries and chat requests for tests, made without a database."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from providers.models import ModelRole, ProviderKind
from providers.registry import ModelEntry, ProviderEntry
from providers.requests import ChatRequest
from providers.vault import SecretText

_numbers = count(1)


def provider_entry(**fields: Any) -> ProviderEntry:
    """A deterministic provider; `key` is the text of its credential."""
    key = fields.pop("key", None)
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "id": number,
        "name": f"provider-{number}",
        "display_name": f"Provider {number}",
        "kind": ProviderKind.DETERMINISTIC,
        "credential": SecretText(key) if key is not None else None,
    }
    return ProviderEntry(**{**defaults, **fields})


def remote_entry(base_url: str, **fields: Any) -> ProviderEntry:
    """A provider that speaks OpenAI's protocol at `base_url`."""
    return provider_entry(base_url=base_url, kind=ProviderKind.OPENAI_COMPATIBLE, **fields)


def model_entry(provider: ProviderEntry | None = None, **fields: Any) -> ModelEntry:
    """A chat model; the upstream calls it as clients do unless told otherwise."""
    number = next(_numbers)
    name = fields.get("name", f"model-{number}")
    defaults: dict[str, Any] = {
        "id": number,
        "name": name,
        "upstream_name": name,
        "role": ModelRole.CHAT,
        "context_window": 128_000,
        "max_output_tokens": 4096,
    }
    return ModelEntry(**{**defaults, "provider": provider or provider_entry(), **fields})


def chat_request(
    model: ModelEntry | None = None, *, output_cap: int = 4096, **body: Any
) -> ChatRequest:
    """A request to `model`; `body` is over a plain question."""
    asked = {"model": "whatever", "messages": question("Hello."), **body}
    return ChatRequest(model=model or model_entry(), body=asked, output_cap=output_cap)


def question(text: str) -> list[Mapping[str, Any]]:
    """One message from a user."""
    return [{"role": "user", "content": text}]
