"""What every request and answer of this protocol has in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from providers import failures
from providers.adapters import Untranslatable
from providers.failures import Failure
from providers.registry import ProviderEntry
from providers.transport import InboundAnswer, OutboundRequest
from providers.vault import SecretText

HTTP_OK = 200
JSON = "application/json"
EVENT_STREAM = "text/event-stream"


def headers(secret: SecretText | None, *, accept: str = JSON) -> dict[str, str]:
    """The headers of every request; without a credential, none is sent."""
    sent = {"accept": accept}
    if secret is not None:
        sent["authorization"] = f"Bearer {secret.text}"
    return sent


def post_json(
    provider: ProviderEntry,
    path: str,
    body: Mapping[str, Any],
    secret: SecretText | None,
    *,
    accept: str = JSON,
) -> OutboundRequest:
    """`body` to a path below the provider's base URL. Raises `Untranslatable`."""
    try:
        content = orjson.dumps(body)
    except TypeError as error:
        raise Untranslatable(f"The request cannot be sent as JSON: {error}.") from None
    return OutboundRequest(
        f"{provider.base_url}/{path}",
        {"content-type": JSON, **headers(secret, accept=accept)},
        content,
    )


def error_in(inbound: InboundAnswer, *, now: datetime) -> Failure | None:
    """The failure an answer stands for, if it is one; some hosts answer 200 with an error."""
    body = inbound.json
    if inbound.status == HTTP_OK and not is_error(body):
        return None
    return failures.from_http(inbound.status, body, inbound.headers, now=now)


def is_error(body: Any) -> bool:
    """Whether a body says that something failed: in `error`, or, as of vLLM, all over."""
    return isinstance(body, dict) and (bool(body.get("error")) or body.get("object") == "error")


def failed_choice(choices: Iterable[Mapping[str, Any]]) -> Failure | None:
    """The failure that a choice ended with, where its host says so there and nowhere else."""
    for choice in choices:
        if choice.get("error") or choice.get("finish_reason") == "error":
            return failures.from_event({"error": choice.get("error") or {}})
    return None
