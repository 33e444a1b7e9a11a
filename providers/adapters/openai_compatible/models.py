"""The models a host has, and what it says of them; hosts say it in many ways."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from providers.adapters import malformed
from providers.adapters.listing import ListedModel, Listing
from providers.adapters.openai_compatible.wire import error_in, headers
from providers.failures import Failure
from providers.models import ModelRole
from providers.registry import ProviderEntry
from providers.transport import InboundAnswer, OutboundRequest
from providers.usage import MOST_BELIEVED
from providers.vault import SecretText

MILLION = 1_000_000
FINEST, HIGHEST = Decimal("1e-9"), Decimal(10**9)
# The names under which hosts say the same.
CONTEXT_NAMES = ("context_length", "context_window", "max_context_length", "max_model_len")
OUTPUT_NAMES = ("max_completion_tokens", "max_output_tokens")
TYPES = {
    "embedding": ModelRole.EMBEDDINGS,
    "embeddings": ModelRole.EMBEDDINGS,
    "transcribe": ModelRole.AUDIO_TRANSCRIPTION,
    "transcription": ModelRole.AUDIO_TRANSCRIPTION,
    "audio_transcription": ModelRole.AUDIO_TRANSCRIPTION,
    "chat": ModelRole.CHAT,
    "language": ModelRole.CHAT,
    "llm": ModelRole.CHAT,
    "vlm": ModelRole.CHAT,
}
NAMED_FOR = {
    "embed": ModelRole.EMBEDDINGS,
    "whisper": ModelRole.AUDIO_TRANSCRIPTION,
    "transcribe": ModelRole.AUDIO_TRANSCRIPTION,
}


def list_request(
    provider: ProviderEntry, secret: SecretText | None, after: str | None = None
) -> OutboundRequest:
    """Asks for the models; this protocol gives all of them at once."""
    return OutboundRequest(f"{provider.base_url}/models", headers(secret), method="GET")


def listed(inbound: InboundAnswer, *, now: datetime) -> Listing | Failure:
    """The models an answer lists; entries without an id are passed over."""
    failure = error_in(inbound, now=now)
    if failure is not None:
        return failure
    body = inbound.json
    rows = body.get("data", body.get("models")) if isinstance(body, dict) else body
    if not isinstance(rows, list):
        return malformed(
            "The provider answered 200 with something that is not a list of models.", inbound.status
        )
    named = [row for row in rows if isinstance(row, dict) and _text(row.get("id"))]
    return Listing(tuple(_model(row) for row in named))


def _model(row: Mapping[str, Any]) -> ListedModel:
    top = _object(row.get("top_provider"))
    parameters, inputs = _names(row, "supported_parameters"), _inputs(row)
    can = _object(row.get("capabilities"))
    return ListedModel(
        id=row["id"],
        display_name=_text(row.get("name") or row.get("display_name")),
        role=_role(row, can),
        context_window=_size(row, *CONTEXT_NAMES) or _size(top, "context_length"),
        max_output_tokens=_size(row, *OUTPUT_NAMES) or _size(top, *OUTPUT_NAMES),
        tools=_either(parameters and "tools" in parameters, can, "function_calling", "tools"),
        json_mode=_either(parameters and "response_format" in parameters, can, "json_mode"),
        vision=_either(inputs and "image" in inputs, can, "vision"),
        audio=_either(inputs and "audio" in inputs, can, "audio"),
        **_prices(_object(row.get("pricing"))),
    )


def _role(row: Mapping[str, Any], can: Mapping[str, Any]) -> str | None:
    kind = TYPES.get(_text(row.get("type")).lower())
    if kind is not None:
        return kind.value
    embeds = can.get("embeddings") is True and can.get("chat_completion") is not True
    if embeds or "embeddings" in _names(_object(row.get("architecture")), "output_modalities"):
        return ModelRole.EMBEDDINGS.value
    name = row["id"].lower()
    return next((role.value for word, role in NAMED_FOR.items() if word in name), None)


def _inputs(row: Mapping[str, Any]) -> set[str]:
    """What it takes: a list, or in the older form `text+image->text`."""
    architecture = _object(row.get("architecture"))
    named = _names(architecture, "input_modalities")
    return named or set(_text(architecture.get("modality")).partition("->")[0].split("+")) - {""}


def _prices(pricing: Mapping[str, Any]) -> dict[str, Decimal | None]:
    """Dollars for each token become dollars for a million; for a request they stay.

    Only where they are text: hosts that give numbers mean other units by them.
    """
    return {
        "input_price": _price(pricing.get("prompt"), MILLION),
        "output_price": _price(pricing.get("completion"), MILLION),
        "cache_read_price": _price(pricing.get("input_cache_read"), MILLION),
        "cache_write_price": _price(pricing.get("input_cache_write"), MILLION),
        "request_price": _price(pricing.get("request"), 1),
    }


def _price(value: Any, times: int) -> Decimal | None:
    """None too for what is below zero: hosts say so that the price varies. What is finer or more
    than any price is none either: written out, it could have a million digits."""
    try:
        price = Decimal(value) * times if isinstance(value, str) else None
    except ArithmeticError:
        return None
    if price is None or not price.is_finite() or price < 0:
        return None
    if price == 0:
        return Decimal(0)
    return price if FINEST <= price <= HIGHEST else None


def _either(said: Any, can: Mapping[str, Any], *names: str) -> bool | None:
    """What one list says, or else what the capabilities say."""
    if isinstance(said, bool):
        return said
    return next((can[name] for name in names if isinstance(can.get(name), bool)), None)


def _size(row: Mapping[str, Any], *names: str) -> int | None:
    sizes = (row.get(name) for name in names)
    return next((one for one in sizes if type(one) is int and 0 < one <= MOST_BELIEVED), None)


def _names(row: Mapping[str, Any], name: str) -> set[str]:
    given = row.get(name)
    return {one for one in given if isinstance(one, str)} if isinstance(given, list) else set()


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
