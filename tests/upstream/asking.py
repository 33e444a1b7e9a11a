"""What the upstream is asked, past any client."""

from __future__ import annotations

from typing import Any

import httpx
from openai.types.chat import ChatCompletionMessageParam

from tests.support import anthropic_wire
from tests.support.upstream import Upstream

MODEL = "upstream-small"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say something."}]
SCHEMA: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}}


def body_of(protocol: str, **change: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"model": MODEL, "messages": QUESTION}
    if protocol == "anthropic":
        plain["max_tokens"] = 900
    else:
        plain["stream_options"] = {"include_usage": True} if change.get("stream") else None
    return {name: value for name, value in {**plain, **change}.items() if value is not None}


def ask(upstream: Upstream, protocol: str, *, timeout: float = 20, **change: Any) -> httpx.Response:
    """One call of the model as plain HTTP."""
    address = (
        f"{upstream.anthropic_base_url}/messages"
        if protocol == "anthropic"
        else f"{upstream.base_url}/chat/completions"
    )
    return httpx.post(
        address,
        json=body_of(protocol, **change),
        headers={"anthropic-version": anthropic_wire.VERSION},
        trust_env=False,
        timeout=timeout,
    )
