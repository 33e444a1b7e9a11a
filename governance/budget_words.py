"""What a budget says of a call, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from governance.amounts import amount_text

if TYPE_CHECKING:
    from governance.budgets import BudgetEvaluation, Policy


def explain(said: BudgetEvaluation, policy: Policy) -> str:
    """Why the outcome is what it is, with the figures, and when that changes by itself."""
    sentence = _SENTENCES.get(said.outcome, _room)
    return sentence(said, policy)


def _unknown(_: BudgetEvaluation, policy: Policy) -> str:
    return (
        f"“{policy.name}” limits cost, and this model has no price, so what the call may cost "
        "cannot be held. Give the model a price, or choose another."
    )


def _blocked(said: BudgetEvaluation, policy: Policy) -> str:
    return (
        f"“{policy.name}” allows {_text(said, said.limit)}; with {_used(said)}, there is no room "
        f"for {_text(said, said.requested)}, which is what this call may use."
        f"{_reset_text(said, policy)}"
    )


def _approval_required(said: BudgetEvaluation, policy: Policy) -> str:
    return (
        f"“{policy.name}” allows {_text(said, said.limit)} without approval; with {_used(said)}, a "
        f"call that may use {_text(said, said.requested)} needs one.{_reset_text(said, policy)}"
    )


def _hard_limit(said: BudgetEvaluation, policy: Policy) -> str:
    return (
        f"This call may take “{policy.name}” past its limit of {_text(said, said.limit)}, which "
        f"only alerts; it has {_used(said)}."
    )


def _override_applied(said: BudgetEvaluation, policy: Policy) -> str:
    return (
        f"“{policy.name}” was raised from {_text(said, policy.hard_limit)} to "
        f"{_text(said, said.limit)}, and this call may need that; it has {_used(said)}."
    )


def _soft_limit(said: BudgetEvaluation, policy: Policy) -> str:
    return (
        f"This call may take “{policy.name}” past its soft limit of "
        f"{_text(said, said.soft_limit)}; it has {_used(said)}."
    )


def _room(said: BudgetEvaluation, policy: Policy) -> str:
    if said.limit is None:
        return f"“{policy.name}” has {_used(said)}, and no hard limit."
    return f"“{policy.name}” has room: {_used(said)} of {_text(said, said.limit)}."


_SENTENCES: dict[str, Callable[[BudgetEvaluation, Policy], str]] = {
    "unknown": _unknown,
    "blocked": _blocked,
    "approval_required": _approval_required,
    "hard_limit": _hard_limit,
    "override_applied": _override_applied,
    "soft_limit": _soft_limit,
}


def _text(said: BudgetEvaluation, amount: int | None) -> str:
    return amount_text(said.metric, amount or 0)


def _used(said: BudgetEvaluation) -> str:
    return f"{_text(said, said.consumed)} consumed and {_text(said, said.held)} held"


def _reset_text(said: BudgetEvaluation, policy: Policy) -> str:
    if said.resets_at is None:
        return " It never resets."
    if policy.rolling:
        return f" Some of it is free again from {said.resets_at:%Y-%m-%d %H:%M:%S} UTC."
    return f" It resets at {said.resets_at:%Y-%m-%d %H:%M} UTC."
