"""Calls that nobody settled, corrected by an operator: once, everywhere, and on record."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from governance.corrections import Correction, NotCorrectable, correct
from governance.ledger.store import LedgerStore
from governance.models import AuditEntry, CallStatus, ModelCall, UsageHour
from providers.identifiers import new_id
from providers.usage import Usage
from tests.governance.small_calls import admission, settlement, window_of
from tests.support.factories import make_model, make_policy, make_price, make_team

pytestmark = pytest.mark.django_db


def unconfirmed(**row: Any) -> tuple[ModelCall, Any, Any]:
    """A call that was swept, with what counts it."""
    store, team, policy = LedgerStore(new_id()), make_team(), make_policy(hard_limit=1000)
    request = admission(team, **row)
    store.execute([request])
    store.execute(
        [
            settlement(
                request.call_id,
                cost=40,
                status=CallStatus.UNCONFIRMED,
                usage=Usage(uncached_input=12, output=8, reported=False),
            )
        ]
    )
    assert window_of(policy, team) == (40, 0)
    return ModelCall.objects.get(pk=request.call_id), policy, team


def said(**fields: Any) -> Correction:
    return Correction(**{"answered": True, "reason": "Their invoice says so.", **fields})


def test_what_was_found_out_replaces_what_was_assumed_everywhere() -> None:
    call, policy, team = unconfirmed()
    found = correct(call.pk, said(input_tokens=30, output_tokens=5, cost=75), now=timezone.now())
    assert (found.status, found.cost, found.total_tokens) == (CallStatus.SUCCEEDED, 75, 35)
    assert "Their invoice says so." in found.error
    assert window_of(policy, team) == (75, 0)
    hour = UsageHour.objects.get(calls=1)
    assert (hour.cost, hour.unconfirmed, hour.succeeded, hour.output_tokens) == (75, 0, 1, 5)
    entry = AuditEntry.objects.get(action="corrected")
    assert (entry.object_id, entry.reason) == (str(call.pk), "Their invoice says so.")
    assert entry.changes["tokens"] == ["20", "35"]
    assert entry.changes["status"] == ["unconfirmed", "answered"]


def test_one_that_was_never_answered_costs_nothing() -> None:
    call, policy, team = unconfirmed()
    found = correct(call.pk, said(answered=False), now=timezone.now())
    assert (found.status, found.cost, found.total_tokens) == (CallStatus.FAILED, 0, 0)
    assert window_of(policy, team) == (0, 0)


def test_the_price_it_was_made_at_says_what_tokens_cost() -> None:
    price = make_price(make_model(), uncached_input=10**9, output=2 * 10**9)
    call, _, _ = unconfirmed(price_id=price.pk)
    found = correct(call.pk, said(input_tokens=3, output_tokens=1), now=timezone.now())
    assert found.cost == 3 * 1000 + 2000


def test_without_a_price_the_cost_stays_unknown() -> None:
    call, policy, team = unconfirmed()
    found = correct(call.pk, said(input_tokens=3), now=timezone.now())
    assert found.cost is None
    assert window_of(policy, team) == (0, 0)


def test_it_is_done_once() -> None:
    call, policy, team = unconfirmed()
    correct(call.pk, said(cost=75), now=timezone.now())
    with pytest.raises(NotCorrectable):
        correct(call.pk, said(cost=99), now=timezone.now())
    assert window_of(policy, team) == (75, 0)
    assert AuditEntry.objects.filter(action="corrected").count() == 1


def test_a_settled_call_is_not_corrected() -> None:
    store, team = LedgerStore(new_id()), make_team()
    request = admission(team)
    store.execute([request])
    store.execute([settlement(request.call_id)])
    with pytest.raises(NotCorrectable):
        correct(request.call_id, said(cost=1), now=timezone.now())


def test_all_faults_are_told_at_once_and_nothing_changes() -> None:
    call, policy, team = unconfirmed()
    with pytest.raises(ValidationError) as refused:
        correct(
            call.pk,
            said(answered=False, reason=" ", input_tokens=2**31, output_tokens=3, cost=2**63),
            now=timezone.now(),
        )
    faults = refused.value.message_dict
    assert set(faults) == {"reason", "input_tokens", "output_tokens", "cost"}
    call.refresh_from_db()
    assert call.status == CallStatus.UNCONFIRMED
    assert window_of(policy, team) == (40, 0)
