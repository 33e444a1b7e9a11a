"""Amounts of a budget's metric, in words and as JSON gives them."""

from __future__ import annotations

from governance.money import decimal_text, dollars_text


def amount_text(metric: str, amount: int) -> str:
    """`amount` for people: "$1.25", "1,200 input tokens", "1 request"."""
    if metric == "cost":
        return dollars_text(amount)
    units = units_text(metric)
    return f"{amount:,} {units.removesuffix('s') if amount == 1 else units}"


def units_text(metric: str) -> str:
    """What is counted, where it is not cost: "tokens", "input tokens", "requests"."""
    return metric.replace("_", " ")


def amount_json(metric: str, amount: int | None) -> str | None:
    """`amount` as a JSON string: decimal dollars for cost, a whole number otherwise."""
    if amount is None:
        return None
    return decimal_text(amount) if metric == "cost" else str(amount)
