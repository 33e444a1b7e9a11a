"""Token usage in disjoint buckets, whatever way the provider counted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Many times what any model can take. Two such numbers still add up within the ledger's columns.
MOST_BELIEVED = 2**28


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call. No token is in two buckets; reasoning is a part of output.

    `reported` is False where the provider said nothing and the numbers are an estimate.
    """

    uncached_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reported: bool = True

    @property
    def input(self) -> int:
        """Every input bucket: what OpenAI calls `prompt_tokens`."""
        return self.uncached_input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output


def from_openai(reported: Any) -> Usage | None:
    """The buckets of OpenAI's `usage` object; None if it is missing or cannot be believed.

    `prompt_tokens` includes cached tokens there, and any details object may be null or absent.
    Where `completion_tokens` is not given, it is what `total_tokens` has beyond the prompt.
    """
    if not isinstance(reported, Mapping):
        return None
    prompt = _count(reported.get("prompt_tokens"))
    if prompt is None:
        return None
    completion = _completion(reported, prompt)
    if completion is None:
        return None
    details = reported.get("prompt_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    cached = min(_count(details.get("cached_tokens")) or 0, prompt)
    written = min(_count(details.get("cache_write_tokens")) or 0, prompt - cached)
    return Usage(
        uncached_input=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=completion,
    )


def _completion(reported: Mapping[str, Any], prompt: int) -> int | None:
    if reported.get("completion_tokens") is not None:
        return _count(reported["completion_tokens"])
    total = _count(reported.get("total_tokens"))
    return None if total is None else _count(total - prompt)


def _count(value: Any) -> int | None:
    """`value` if it is a count; a bool, a negative or an absurd number is not one."""
    return value if type(value) is int and 0 <= value <= MOST_BELIEVED else None
