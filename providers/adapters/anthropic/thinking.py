"""How much the model is to think: OpenAI's effort, in what the model understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.adapters.anthropic.content import as_list
from providers.adapters.anthropic.generations import Understands

EFFORTS = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
BEYOND_HIGH = ("xhigh", "max")
BUDGETS = {
    "minimal": 1024,
    "low": 1024,
    "medium": 4096,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 65_536,
}
SMALLEST_BUDGET = 1024


def thinking(
    body: Mapping[str, Any], output_cap: int, can: Understands, *, forced: bool
) -> dict[str, Any]:
    """The fields `thinking` and `output_config`; the caller's own `thinking` comes first.

    A model that is `forced` to use a tool cannot think before it. What it thinks counts as output,
    so at least a quarter of the cap is left for what it says.
    """
    given, effort = body.get("thinking"), body.get("reasoning_effort")
    fields: dict[str, Any] = {"thinking": given} if isinstance(given, Mapping) else {}
    if not isinstance(effort, str) or effort not in EFFORTS:
        return fields
    if can.adaptive:
        beyond = effort in BEYOND_HIGH and not can.most_effort
        fields["output_config"] = {"effort": "high" if beyond else EFFORTS[effort]}
    if "thinking" in fields or effort == "none" or forced:
        return fields
    if can.adaptive:
        return {**fields, "thinking": {"type": "adaptive"}}
    budget = min(BUDGETS[effort], output_cap * 3 // 4)
    if budget < SMALLEST_BUDGET or _answers_without_thoughts(body["messages"]):
        return fields
    return {**fields, "thinking": {"type": "enabled", "budget_tokens": budget}}


def _answers_without_thoughts(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the tools in use were called without a thought that could be sent back: a model with
    a budget for thinking refuses to go on from there."""
    if messages[-1].get("role") != "tool":
        return False
    callers = [message for message in messages if as_list(message.get("tool_calls"))]
    return bool(callers) and not callers[-1].get("thinking_blocks")


def is_thinking(fields: Mapping[str, Any]) -> bool:
    """Whether the model will think, and so takes no temperature."""
    return fields.get("thinking", {}).get("type") in ("enabled", "adaptive")
