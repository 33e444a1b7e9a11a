"""What can be said of a model that a host lists: told by the host, or guessed from its name. Pure.

Most hosts say no more than a name. What a host tells is believed; a guess only fills in what a new
model would otherwise have by default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from providers.adapters.listing import ListedModel
from providers.models import CostTier, LatencyTier, ModelRole

# For a model that makes pictures, say: nothing that Palyra can ask of it.
NO_ROLE = "none"
MOST_TOKENS = 2**28
_TRANSCRIBES = re.compile(r"whisper|transcri|speech-to-text|(^|[-/_])(stt|asr|parakeet)([-_]|$)")
_EMBEDS = re.compile(r"embed|minilm|(^|[-/_])(bge|gte|e5|voyage)[-_]")
_NO_ROLE = re.compile(
    r"dall-e|gpt-image|chatgpt-image|imagen|stable-diffusion|sdxl|(^|[-/_])(flux|sora|veo)([-._\d]|$)"
    r"|(^|[-/_])tts|text-to-speech|moderation|rerank|realtime|gpt-live|(^|[-/_])ocr([-_]|$)"
    r"|^(text-)?(davinci|curie|babbage|ada)(-00\d)?$|gpt-3\.5-turbo-instruct"
)
_SEES = re.compile(
    r"gpt-4o|gpt-4\.1|gpt-4-turbo|gpt-[5-9]|(^|/)o[134](-(?!mini)|$)|(^|/)o4-mini|claude|gemini|gemma-?3"
    r"|pixtral|llava|llama-4|vision|(^|[-/_\d])vl([-_:]|$)|minicpm-v"
)
_SEES_NOT = re.compile(r"claude-(2|instant)|gemini-1\.0|audio|search")
_SMALL = re.compile(
    r"mini|nano|haiku|flash|lite|small|tiny|instant|(^|[-_:])([1-9]|1[0-4])b([-_]|$)"
)
_LARGE = re.compile(r"opus|ultra|(^|[-_/])o[13](-pro|$)|(^|[-_])pro([-_]|$)|405b")
_SLOW = re.compile(
    r"(^|[-_/])o[134]([-_]|$)|(^|[-_/])r1([-_]|$)|reason|think|deep-research|opus|(^|[-_])pro([-_]|$)"
)
# US dollars per million tokens, three parts of input to one of output: how chats mostly are.
LOW_UNTIL, STANDARD_UNTIL = Decimal("1"), Decimal("8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a model; None, or an empty role, is not known. Sizes are tokens."""

    role: str = ""
    streaming: bool | None = None
    tools: bool | None = None
    json_mode: bool | None = None
    vision: bool | None = None
    audio: bool | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    cost_tier: int | None = None
    latency_tier: int | None = None

    def known(self) -> dict[str, Any]:
        """What is known, by field."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value != ""}

    def filled_from(self, other: Facts) -> Facts:
        """These, and where they say nothing what `other` says."""
        return replace(other, **self.known())


def told(listed: ListedModel) -> Facts:
    """What the host itself says."""
    facts = Facts(
        role=listed.role or "",
        tools=listed.tools,
        json_mode=listed.json_mode,
        vision=listed.vision,
        audio=listed.audio,
        context_window=_size(listed.context_window),
        max_output_tokens=_size(listed.max_output_tokens),
    )
    if facts.context_window and facts.max_output_tokens:
        most = min(facts.max_output_tokens, facts.context_window)
        return replace(facts, max_output_tokens=most)
    return facts


def guessed(name: str) -> Facts:
    """What the model's name lets one expect."""
    lowered = name.lower()
    role = guessed_role(lowered)
    facts = Facts(
        role=role, cost_tier=_guessed_cost(lowered), latency_tier=_guessed_latency(lowered)
    )
    if role != ModelRole.CHAT:
        return replace(facts, streaming=False, tools=False, json_mode=False, vision=False)
    sees = bool(_SEES.search(lowered)) and not _SEES_NOT.search(lowered)
    hears = "audio" in lowered
    return replace(facts, streaming=True, tools=True, json_mode=True, vision=sees, audio=hears)


def guessed_role(name: str) -> str:
    """The role that a model of this name most likely has, or `NO_ROLE`."""
    lowered = name.lower()
    if _NO_ROLE.search(lowered):
        return NO_ROLE
    if _TRANSCRIBES.search(lowered):
        return ModelRole.AUDIO_TRANSCRIPTION.value
    return ModelRole.EMBEDDINGS.value if _EMBEDS.search(lowered) else ModelRole.CHAT.value


def cost_tier(uncached_input: Decimal, output: Decimal) -> int:
    """The tier of a model that costs so many US dollars per million tokens."""
    blended = (3 * uncached_input + output) / 4
    if blended <= LOW_UNTIL:
        return CostTier.LOW.value
    return CostTier.STANDARD.value if blended <= STANDARD_UNTIL else CostTier.PREMIUM.value


def _guessed_cost(name: str) -> int:
    if _SMALL.search(name):
        return CostTier.LOW.value
    return CostTier.PREMIUM.value if _LARGE.search(name) else CostTier.STANDARD.value


def _guessed_latency(name: str) -> int:
    if _SLOW.search(name):
        return LatencyTier.SLOW.value
    return LatencyTier.FAST.value if _SMALL.search(name) else LatencyTier.STANDARD.value


def _size(tokens: int | None) -> int | None:
    return tokens if tokens is not None and 0 < tokens <= MOST_TOKENS else None
