"""The models a host has, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from providers.adapters import malformed
from providers.adapters.anthropic.decode import error_in
from providers.adapters.anthropic.wire import headers
from providers.adapters.listing import ListedModel, Listing
from providers.failures import Failure
from providers.models import ModelRole
from providers.registry import ProviderEntry
from providers.transport import InboundAnswer, OutboundRequest
from providers.usage import MOST_BELIEVED
from providers.vault import SecretText

PAGE = 1000


def list_request(
    provider: ProviderEntry, secret: SecretText | None, after: str | None = None
) -> OutboundRequest:
    """Asks for the models, or for those that follow the one of the id `after`."""
    query = f"limit={PAGE}" + (f"&after_id={quote(after, safe='')}" if after else "")
    return OutboundRequest(f"{provider.base_url}/models?{query}", headers(secret), method="GET")


def listed(inbound: InboundAnswer, *, now: datetime) -> Listing | Failure:
    """The models an answer lists; entries without an id are passed over."""
    failure = error_in(inbound, now=now)
    if failure is not None:
        return failure
    body = inbound.json
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        return malformed(
            "The provider answered 200 with something that is not a list of models.", inbound.status
        )
    named = [row for row in rows if isinstance(row, dict) and _is_id(row.get("id"))]
    last = body.get("last_id")
    more = body.get("has_more") is True and _is_id(last)
    return Listing(tuple(_model(row) for row in named), last if more else None)


def _model(row: Mapping[str, Any]) -> ListedModel:
    name, can = row.get("display_name"), row.get("capabilities")
    can = can if isinstance(can, Mapping) else {}
    return ListedModel(
        id=row["id"],
        display_name=name if isinstance(name, str) else "",
        role=ModelRole.CHAT.value,
        context_window=_size(row.get("max_input_tokens")),
        max_output_tokens=_size(row.get("max_tokens")),
        tools=True,
        json_mode=_can(can.get("structured_outputs")),
        vision=_can(can.get("image_input")),
        audio=False,
    )


def _can(capability: Any) -> bool | None:
    supported = capability.get("supported") if isinstance(capability, Mapping) else None
    return supported if isinstance(supported, bool) else None


def _size(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= MOST_BELIEVED else None


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
