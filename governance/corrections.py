"""Correcting a call that nobody settled: an operator has asked the provider what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from governance import audit
from governance.ledger import Settlement, settle_now
from governance.models import CallStatus, ModelCall, Price
from governance.money import dollars_text
from governance.pricing import cost as price_of
from governance.snapshot import price_entry
from providers.usage import Usage

CORRECT_PERMISSION = "governance.change_modelcall"
# What the ledger's columns take.
LARGEST = {"input_tokens": 2**31 - 1, "output_tokens": 2**31 - 1, "cost": 2**63 - 1}
LONGEST_REASON = 500


class NotCorrectable(Exception):
    """This call is not one that was left unconfirmed; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What really became of a call: `cost` is nano-dollars, None for what its price says of the
    tokens. One that was not answered used and cost nothing."""

    answered: bool
    reason: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int | None = None

    @property
    def usage(self) -> Usage:
        """What it used."""
        if not self.answered:
            return Usage(reported=False)
        return Usage(uncached_input=self.input_tokens, output=self.output_tokens, reported=False)


def correct(call_id: UUID, correction: Correction, *, now: datetime) -> ModelCall:
    """Put what an operator found out in place of what was assumed, in budgets and reports alike,
    with an entry in the audit trail.

    Raises `ValidationError` with every fault, and `NotCorrectable` for a call that is not
    unconfirmed, also where another was faster. `ModelCall.DoesNotExist` for an unknown one.
    """
    call = ModelCall.objects.select_related("price").get(pk=call_id)
    faults = _faults(correction)
    if faults:
        raise ValidationError(faults)
    cost = _cost(correction, call.price)
    if cost is not None and cost > LARGEST["cost"]:
        raise ValidationError({"cost": "That many tokens cost more than can be written down."})
    with transaction.atomic():
        if call.status != CallStatus.UNCONFIRMED or not settle_now(
            _settlement(call, correction, cost, now), only=CallStatus.UNCONFIRMED
        ):
            raise NotCorrectable
        audit.record("corrected", call, _changes(call, correction, cost), reason=correction.reason)
    call.refresh_from_db()
    return call


def _faults(correction: Correction) -> dict[str, str]:
    faults = {}
    if not correction.reason.strip():
        faults["reason"] = "Say how you know."
    elif len(correction.reason) > LONGEST_REASON:
        faults["reason"] = f"Say it in at most {LONGEST_REASON} characters."
    for name, largest in LARGEST.items():
        amount = getattr(correction, name)
        if amount is None:
            continue
        if not 0 <= amount <= largest:
            faults[name] = "Give a number that is not negative, and not beyond all measure."
        elif amount and not correction.answered:
            faults[name] = "A call that was not answered used nothing."
    return faults


def _cost(correction: Correction, price: Price | None) -> int | None:
    if not correction.answered:
        return 0
    if correction.cost is not None or price is None:
        return correction.cost
    return price_of(price_entry(price), correction.usage)


def _settlement(
    call: ModelCall, correction: Correction, cost: int | None, now: datetime
) -> Settlement:
    return Settlement(
        call_id=call.pk,
        status=CallStatus.SUCCEEDED if correction.answered else CallStatus.FAILED,
        settled_at=now,
        usage=correction.usage,
        cost=cost,
        compared_cost=call.compared_cost,
        failure_class=call.failure_class,
        error=f"Corrected by an operator: {correction.reason.strip()}",
        latency_ms=call.latency_ms,
        first_token_ms=call.first_token_ms,
        attempts=call.attempts,
    )


def _changes(call: ModelCall, correction: Correction, cost: int | None) -> dict[str, Any]:
    outcome = "answered" if correction.answered else "not answered"
    return {
        "status": ["unconfirmed", outcome],
        "cost": [_dollars(call.cost), _dollars(cost)],
        "tokens": [str(call.total_tokens or 0), str(correction.usage.total)],
    }


def _dollars(amount: int | None) -> str:
    return "unknown" if amount is None else dollars_text(amount)
