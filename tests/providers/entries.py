"""Registry entries and requests for tests, made without a database."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from providers.models import ModelRole, ProviderKind
from providers.registry import CredentialEntry, ModelEntry, ProviderEntry
from providers.requests import ChatRequest, EmbeddingsRequest, TranscriptionRequest
from providers.vault import SecretText

_numbers = count(1)


def credential_entry(key: str | None = None, **fields: Any) -> CredentialEntry:
    """A credential whose text is `key`."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "id": number,
        "name": f"key-{number}",
        "secret": SecretText(key) if key is not None else None,
    }
    return CredentialEntry(**{**defaults, **fields})


def provider_entry(**fields: Any) -> ProviderEntry:
    """A deterministic provider; `key` is the text of its one credential."""
    key = fields.pop("key", None)
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "id": number,
        "name": f"provider-{number}",
        "display_name": f"Provider {number}",
        "kind": ProviderKind.DETERMINISTIC,
        "credentials": (credential_entry(key),) if key is not None else (),
    }
    return ProviderEntry(**{**defaults, **fields})


def remote_entry(base_url: str, **fields: Any) -> ProviderEntry:
    """A provider that speaks OpenAI's protocol at `base_url`, which may be on loopback."""
    defaults = {"kind": ProviderKind.OPENAI_COMPATIBLE, "allow_private_base_url": True}
    return provider_entry(**{**defaults, "base_url": base_url, **fields})


def anthropic_entry(base_url: str = "https://api.anthropic.com/v1", **fields: Any) -> ProviderEntry:
    """A provider that speaks Anthropic's protocol at `base_url`, which may be on loopback."""
    return remote_entry(base_url, **{"kind": ProviderKind.ANTHROPIC, **fields})


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
    model: ModelEntry | None = None, *, output_cap: int = 4096, stream: bool = False, **body: Any
) -> ChatRequest:
    """A request to `model`; `body` is over a plain question."""
    asked: dict[str, Any] = {"model": "whatever", "messages": question("Hello.")}
    if stream:
        asked["stream"] = True
    return ChatRequest(
        model=model or model_entry(),
        body={**asked, **body},
        output_cap=output_cap,
        stream=stream,
    )


def embeddings_request(
    model: ModelEntry | None = None, asked: Any = "Hello.", **body: Any
) -> EmbeddingsRequest:
    """Embeddings of `asked` by `model`."""
    return EmbeddingsRequest(
        model=model or model_entry(role=ModelRole.EMBEDDINGS),
        body={"model": "whatever", "input": asked, **body},
    )


def transcription_request(
    model: ModelEntry | None = None, *fields: tuple[str, str], audio: bytes = b"RIFF....WAVE"
) -> TranscriptionRequest:
    """Speech for `model` to write down; `fields` are those of the form beside file and model."""
    return TranscriptionRequest(
        model=model or model_entry(role=ModelRole.AUDIO_TRANSCRIPTION),
        fields=(("model", "whatever"), *fields),
        filename="speech.wav",
        content_type="audio/wav",
        audio=audio,
    )


def question(text: str) -> list[Mapping[str, Any]]:
    """One message from a user."""
    return [{"role": "user", "content": text}]
