"""Which models may answer a call, and in which order: pure."""

from __future__ import annotations

from dataclasses import dataclass

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
    raise NotImplementedError
