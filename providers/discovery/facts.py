"""What can be said of a model that a host lists: told by the host, or guessed from its name. Pure.

Hosts describe their models in many ways, and most say no more than a name. What a host tells is
believed; a guess only fills in what a new model would otherwise have by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from providers.models import CostTier, LatencyTier, ModelRole

# For a model that makes pictures, say: nothing that Palyra can ask of it.
NO_ROLE = "none"
MOST_TOKENS = 2**28

CONTEXT_FIELDS = (
    "context_length",
    "context_window",
    "max_model_len",
    "max_context_length",
    "max_input_tokens",
)
OUTPUT_FIELDS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
# Where some hosts put what others say at the top.
NESTED = ("top_provider", "metadata")
ROLE_BY_TYPE = {
    "chat": ModelRole.CHAT.value,
    "language": ModelRole.CHAT.value,
    "code": ModelRole.CHAT.value,
    "llm": ModelRole.CHAT.value,
    "vlm": ModelRole.CHAT.value,
    "embedding": ModelRole.EMBEDDINGS.value,
    "embeddings": ModelRole.EMBEDDINGS.value,
    "transcribe": ModelRole.AUDIO_TRANSCRIPTION.value,
    "transcription": ModelRole.AUDIO_TRANSCRIPTION.value,
    "image": NO_ROLE,
    "video": NO_ROLE,
    "audio": NO_ROLE,
    "moderation": NO_ROLE,
    "rerank": NO_ROLE,
}

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


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as its host lists it: its name there, and all that the host says of it."""

    name: str
    told: Mapping[str, Any]


def told(listed: ListedModel) -> Facts:
    """What the host says, in whichever of the usual ways."""
    said = listed.told
    context = _first_size(said, CONTEXT_FIELDS)
    output = _first_size(said, OUTPUT_FIELDS)
    facts = Facts(
        role=_told_role(said),
        tools=_first_flag(_parameter(said, "tools"), _ability(said, "function_calling", "tools")),
        json_mode=_first_flag(
            _parameter(said, "response_format", "structured_outputs"),
            _ability(said, "structured_outputs", "json_mode"),
        ),
        vision=_first_flag(
            _takes(said, "image"), _ability(said, "vision", "image_input"), _is_vlm(said)
        ),
        audio=_first_flag(_takes(said, "audio"), _ability(said, "audio", "audio_input")),
        context_window=context,
        max_output_tokens=min(output, context) if output and context else output,
    )
    # Not what the field means for these: they answer with vectors, or hear by their nature.
    return facts if facts.role in {"", ModelRole.CHAT} else replace(facts, vision=None, audio=None)


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
    return replace(facts, vision=sees, audio="audio" in lowered)


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


def _told_role(said: Mapping[str, Any]) -> str:
    kind = said.get("type")
    if isinstance(kind, str) and kind.lower() in ROLE_BY_TYPE:
        return ROLE_BY_TYPE[kind.lower()]
    gives, takes = _modalities(said, "output"), _modalities(said, "input")
    if gives is not None:
        if gives & {"embedding", "embeddings"}:
            return ModelRole.EMBEDDINGS.value
        if gives & {"transcription"} or (takes == {"audio"} and gives == {"text"}):
            return ModelRole.AUDIO_TRANSCRIPTION.value
        return "" if "text" in gives else NO_ROLE
    return ""


def _first_size(said: Mapping[str, Any], names: Iterable[str]) -> int | None:
    names = tuple(names)
    for place in (said, *(_mapping(said.get(name)) for name in NESTED)):
        for name in names:
            value = place.get(name)
            if type(value) is int and 0 < value <= MOST_TOKENS:
                return value
    return None


def _first_flag(*flags: bool | None) -> bool | None:
    return next((flag for flag in flags if flag is not None), None)


def _parameter(said: Mapping[str, Any], *names: str) -> bool | None:
    """Whether the host lists one of these among the parameters that the model takes."""
    supported = said.get("supported_parameters")
    return any(name in supported for name in names) if isinstance(supported, list) else None


def _ability(said: Mapping[str, Any], *names: str) -> bool | None:
    """A flag of `capabilities`, as itself or as `{"supported": …}`, or one named `supports_…`."""
    capabilities = _mapping(said.get("capabilities"))
    for name in names:
        for value in (capabilities.get(name), said.get(f"supports_{name}")):
            flag = value.get("supported") if isinstance(value, Mapping) else value
            if isinstance(flag, bool):
                return flag
    return None


def _takes(said: Mapping[str, Any], modality: str) -> bool | None:
    takes = _modalities(said, "input")
    return None if takes is None else modality in takes


def _is_vlm(said: Mapping[str, Any]) -> bool | None:
    return True if said.get("type") == "vlm" else None


def _modalities(said: Mapping[str, Any], side: str) -> set[str] | None:
    """What goes in, or comes out, where the host says it."""
    for place in (_mapping(said.get("architecture")), said):
        listed = place.get(f"{side}_modalities")
        if isinstance(listed, list):
            return {one.lower() for one in listed if isinstance(one, str)}
        arrow = place.get("modality")
        if isinstance(arrow, str) and "->" in arrow:
            takes, _, gives = arrow.lower().partition("->")
            return set((takes if side == "input" else gives).split("+"))
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
