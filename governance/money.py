"""Money is exact: integer nano-dollars inside, `Decimal` US dollars at the edges, never float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

NANO_DOLLARS = 10**9
_EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)


def to_nano_dollars(dollars: Decimal) -> int:
    """`dollars` as nano-dollars, rounded half-even where it is finer than one."""
    return int(_EXACT.multiply(dollars, Decimal(NANO_DOLLARS)).to_integral_value(ROUND_HALF_EVEN))


def from_nano_dollars(amount: int) -> Decimal:
    """`amount` nano-dollars as US dollars with nine decimal places."""
    return Decimal(amount).scaleb(-9, _EXACT)


def decimal_text(amount: int) -> str:
    """US dollars for JSON and CSV: a plain decimal with all nine places, such as "0.000012500"."""
    return f"{from_nano_dollars(amount):f}"


def dollars_text(amount: int) -> str:
    """US dollars for people: two places, or as many as a small amount needs, such as $0.000013."""
    dollars = from_nano_dollars(amount)
    places = 2
    if dollars and abs(dollars) < 1:
        places = min(9, max(2, 1 - dollars.adjusted()))
    text = f"{abs(dollars):,.{places}f}"
    whole, _, fraction = text.partition(".")
    text = f"{whole}.{fraction.rstrip('0'):0<2}"
    return f"-${text}" if amount < 0 else f"${text}"
