"""Token usage in disjoint buckets, whatever way the provider counted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Many times what any model can take. Two such numbers still add up within the ledger's columns.
MOST_BELIEVED = 2**28
BYTES_PER_TOKEN = 4
# What hosts that bill by the minute would count if they billed by the token.
AUDIO_TOKENS_PER_SECOND = 10
# What OpenAI's newer interface calls the same; some hosts do so in chats as well.
_NEWER_NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


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
    Where `completion_tokens` is not given, as of embeddings, it is what `total_tokens` has beyond
    the prompt. Reasoning and rejected predictions are within `completion_tokens` at OpenAI.
    """
    if not isinstance(reported, Mapping):
        return None
    if "input_tokens" in reported and "prompt_tokens" not in reported:
        reported = {_NEWER_NAMES.get(name, name): value for name, value in reported.items()}
    prompt = _count(reported.get("prompt_tokens"))
    if prompt is None:
        return None
    completion = _completion(reported, prompt)
    if completion is None:
        return None
    details = _mapping(reported.get("prompt_tokens_details"))
    cached = min(_count(details.get("cached_tokens")) or 0, prompt)
    written = min(_count(details.get("cache_write_tokens")) or 0, prompt - cached)
    return Usage(
        uncached_input=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=completion,
    )


def from_anthropic(reported: Any) -> Usage | None:
    """The buckets of Anthropic's `usage` object; None if it is missing or cannot be believed.

    `input_tokens` excludes what was read from and written to the cache. The writes are in
    `cache_creation_input_tokens`, and split by how long they last in `cache_creation`.
    """
    if not isinstance(reported, Mapping):
        return None
    uncached, output = _count(reported.get("input_tokens")), _count(reported.get("output_tokens"))
    if uncached is None or output is None:
        return None
    split = _mapping(reported.get("cache_creation"))
    short = _count(split.get("ephemeral_5m_input_tokens")) or 0
    long = _count(split.get("ephemeral_1h_input_tokens")) or 0
    written = _count(reported.get("cache_creation_input_tokens"))
    written = short + long if written is None else written
    long = min(long, written)
    return Usage(
        uncached_input=uncached,
        cache_read=_count(reported.get("cache_read_input_tokens")) or 0,
        cache_write_5m=written - long,
        cache_write_1h=long,
        output=output,
    )


def from_transcription(reported: Any, text: str) -> Usage | None:
    """The buckets of a transcription's `usage`; None if it is missing or cannot be believed.

    A host that bills by the second reports a duration: the tokens are then an estimate, of the
    sound and of the `text` it was turned into.
    """
    if not isinstance(reported, Mapping):
        return None
    if reported.get("type") == "duration":
        seconds = reported.get("seconds")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            return None
        if not 0 <= seconds <= MOST_BELIEVED / AUDIO_TOKENS_PER_SECOND:
            return None
        return Usage(
            uncached_input=max(1, round(seconds * AUDIO_TOKENS_PER_SECOND)),
            output=tokens_of(len(text.encode())),
            reported=False,
        )
    given, output = _count(reported.get("input_tokens")), _count(reported.get("output_tokens"))
    if given is None or output is None:
        return None
    return Usage(uncached_input=given, output=output)


def to_openai(usage: Usage, *, reasoning: int | None = None) -> dict[str, Any]:
    """OpenAI's `usage` object: here, and nowhere else, the buckets become what clients are shown.

    `reasoning` is how many of the output tokens were spent on it, if that is known.
    """
    shown: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
    }
    if reasoning is not None:
        shown["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return shown


def tokens_of(size: int) -> int:
    """A plausible token count for so many bytes of text: one for every four, at least one."""
    return max(1, -(-size // BYTES_PER_TOKEN))


def anthropic_reasoning(reported: Any) -> int | None:
    """How many of Anthropic's output tokens were spent on thinking, if it says so."""
    details = _mapping(_mapping(reported).get("output_tokens_details"))
    return _count(details.get("thinking_tokens"))


def _completion(reported: Mapping[str, Any], prompt: int) -> int | None:
    total = _count(reported.get("total_tokens"))
    if reported.get("completion_tokens") is None:
        return None if total is None else _count(total - prompt)
    completion = _count(reported["completion_tokens"])
    details = _mapping(reported.get("completion_tokens_details"))
    reasoning = _count(details.get("reasoning_tokens")) or 0
    # Some hosts leave the reasoning out of `completion_tokens`; their total tells.
    if completion is not None and reasoning and total == prompt + completion + reasoning:
        return _count(completion + reasoning)
    return completion


def _count(value: Any) -> int | None:
    """`value` if it is a count; a bool, a negative or an absurd number is not one."""
    return value if type(value) is int and 0 <= value <= MOST_BELIEVED else None


def _mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object, else an empty one: any details may be null or odd."""
    return value if isinstance(value, Mapping) else {}
