"""Counting the input of a call: only where budgets refuse what its bytes bound, and might not what
it is."""

from __future__ import annotations

from dataclasses import replace

from governance import routing, tokenizers
from governance.budgets import Demand
from governance.calls.planning import CallPlan, Spending
from governance.parsed_request import ParsedRequest, bound_by
from governance.routing import Option

# The bytes of text beyond which it is not counted: counting a text holds up what else the process
# does, a hundred thousand bytes for some ten milliseconds.
LARGEST_COUNTED = 256 * 1024


def tightest(plan: CallPlan, option: Option, *, whole: bool = False) -> Demand | None:
    """The least that the call might take at `option` once its input is counted and, but for a
    `whole` answer, its output as short as is worth asking for; None where it cannot be counted, or
    is already."""
    if option.counted is not None or not _may_be_counted(option):
        return None
    asked = plan.asked
    least = bound_by(asked, lambda text: len(text) // tokenizers.LONGEST_TOKEN)
    option = replace(option, counted=least)
    if asked.least_output is not None and not whole:
        option = replace(option, cap=max(plan.output_floor, asked.least_output))
    return Spending(option).demand


def counted(plan: CallPlan, option: Option) -> CallPlan:
    """The same call with its input counted for every model whose tokenizer is known, because
    budgets do not pay for its bound at `option`. It takes a moment: not for an event loop."""
    every = (*plan.route.eligible, *plan.route.options)
    encodings = {one.model.id: tokenizers.encoding_of(one.model) for one in every}
    bounds = {
        encoding: bound_by(plan.asked, tokenizers.counter(encoding))
        for encoding in set(encodings.values())
        if encoding is not None
    }
    by_model = {key: bounds[one] for key, one in encodings.items() if one is not None}
    return replace(plan, route=routing.counted(plan.route, by_model, option))


def _may_be_counted(option: Option) -> bool:
    return tokenizers.encoding_of(option.model) is not None and _size(option.asked) in range(
        1, LARGEST_COUNTED + 1
    )


def _size(asked: ParsedRequest) -> int:
    return sum(size for _, size in asked.texts())
