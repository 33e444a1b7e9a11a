"""Which models may answer a call, and in which order: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from providers.models import ModelRole, ProviderKind
from providers.registry import ModelEntry, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a request takes of the model that answers it. `input_tokens` is what is expected."""

    role: str
    streaming: bool = False
    tools: bool = False
    json_mode: bool = False
    vision: bool = False
    audio: bool = False
    input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Considered:
    """A model that was considered, and in words why it is or is not a candidate."""

    model: ModelEntry
    eligible: bool
    reason: str


# A capability as it is asked for, and what is said of a model without it. A model that cannot
# stream is none of these: its answer is replayed in pieces.
_CAPABILITIES = (
    ("tools", "It cannot call tools."),
    ("json_mode", "It cannot be held to JSON."),
    ("vision", "It cannot look at images."),
    ("audio", "It cannot listen."),
)


def order(
    chosen: ModelEntry,
    registry: Registry,
    needs: Needs,
    *,
    named: tuple[ModelEntry, ...] = (),
) -> tuple[Considered, ...]:
    """The candidates in the order they are tried, then those that are none, each with its reason.

    The chosen model comes first. `named` are the models that answer to the name the caller gave
    (empty for `auto`): they are all what was asked for. Other models follow only if the call is not
    pinned by a name, or the registry lets pinned calls go on elsewhere; they are those of other
    providers that can do what is needed, by cost tier, latency tier, qualified name.
    """
    names = {model.qualified_name for model in named}
    others = [
        _considered(model, chosen, registry, needs, names)
        for model in registry.models
        if model.qualified_name != chosen.qualified_name
    ]
    eligible = sorted((one for one in others if one.eligible), key=lambda one: _rank(one, names))
    first = Considered(chosen, True, _why_chosen(chosen, needs, bool(named)))
    return (first, *eligible, *(one for one in others if not one.eligible))


def eligible(considered: Iterable[Considered]) -> tuple[ModelEntry, ...]:
    """The candidates alone, in their order."""
    return tuple(one.model for one in considered if one.eligible)


def _considered(
    model: ModelEntry, chosen: ModelEntry, registry: Registry, needs: Needs, names: set[str]
) -> Considered:
    is_named = model.qualified_name in names
    fault = (
        _unlike(model, chosen, needs)
        or _not_allowed(registry, pinned=bool(names), is_named=is_named)
        or ("" if is_named else rehearsed(model, chosen))
        or unable(model, needs)
    )
    if fault:
        return Considered(model, False, fault)
    reason = "It answers to the name that was asked for." if is_named else "It can take over."
    return Considered(model, True, _with_replay(reason, model, needs))


def _unlike(model: ModelEntry, chosen: ModelEntry, needs: Needs) -> str:
    if model.role != needs.role:
        return f"Its role is {_in_words(model.role)}, and {_in_words(needs.role)} is needed."
    if model.provider.id == chosen.provider.id:
        return "It is at the same provider as the model tried first."
    if needs.role == ModelRole.EMBEDDINGS and not same_model(model, chosen):
        return "Another model's embeddings cannot be compared with those of the one tried first."
    return ""


def rehearsed(model: ModelEntry, chosen: ModelEntry) -> str:
    """Why one of them only rehearses and the other does not, so that nobody asked for the other."""
    rehearses = [one.provider.kind == ProviderKind.DETERMINISTIC for one in (model, chosen)]
    if rehearses == [True, False]:
        return "Its provider is for rehearsals: nobody is to take what it says for an answer."
    if rehearses == [False, True]:
        return "The model tried first is for rehearsals, which are to reach no host."
    return ""


def same_model(model: ModelEntry, chosen: ModelEntry) -> bool:
    """Whether two hosts have the same model, as far as names tell."""
    return model.upstream_name == chosen.upstream_name or model.name == chosen.name


def _not_allowed(registry: Registry, *, pinned: bool, is_named: bool) -> str:
    if not registry.failover:
        return "Failover is off."
    if pinned and not is_named and not registry.failover_pinned:
        return "The call names its model, and failover is off for calls that do."
    return ""


def unable(model: ModelEntry, needs: Needs) -> str:
    """What of `needs` a model cannot do by the registry, in words; empty if it can do all."""
    for capability, without in _CAPABILITIES:
        if getattr(needs, capability) and not getattr(model, capability):
            return without
    if needs.input_tokens > model.context_window:
        return (
            f"Its context window has {model.context_window:,} tokens, and about "
            f"{needs.input_tokens:,} are expected."
        )
    return ""


def _why_chosen(chosen: ModelEntry, needs: Needs, pinned: bool) -> str:
    """The chosen model stays first whatever is recorded of it: its provider is the judge."""
    reason = "The call names it." if pinned else "It was chosen."
    doubt = unable(chosen, needs)
    if doubt:
        return f"{reason} By the registry it may not do: {doubt[0].lower()}{doubt[1:]}"
    return _with_replay(reason, chosen, needs)


def _with_replay(reason: str, model: ModelEntry, needs: Needs) -> str:
    if needs.streaming and not model.streaming:
        return f"{reason} It cannot stream, so its answer comes whole."
    return reason


def _rank(considered: Considered, names: set[str]) -> tuple[bool, int, int, str]:
    model = considered.model
    return (
        model.qualified_name not in names,
        model.cost_tier,
        model.latency_tier,
        model.qualified_name,
    )


def _in_words(role: str) -> str:
    return role.replace("_", " ")
