"""Calls kept for approval that a crash, or nobody's decision, left lying."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance import kept_calls, keys
from governance.calls import execute
from governance.errors import (
    CallWaits,
)
from governance.models import (
    ApiKey,
    Approval,
    AuditEntry,
    CallStatus,
    KeptCall,
    ModelCall,
    Team,
)
from providers.identifiers import new_id
from tests.governance import scripted
from tests.governance.kept_calls import (
    NOTHING,
    Told,
    approval_needed,
    decide,
    kept,
    make,
    raised,
    refusal,
    status,
    sweep,
)
from tests.governance.scenes import TwoProviders
from tests.support.factories import make_policy

pytestmark = pytest.mark.usefixtures("told")


async def test_a_call_that_lost_its_message_is_told_again(two: TwoProviders, told: Told) -> None:
    call_id = await kept(two)
    await decide()
    told.calls.clear()
    now = timezone.now()
    await sweep(now)
    assert told.calls == []
    await sweep(now + timedelta(seconds=61))
    await sweep(now + timedelta(seconds=62))
    assert told.calls == [call_id]


async def test_a_call_nobody_was_told_of_is_told(two: TwoProviders, told: Told) -> None:
    call_id = await kept(two)
    await sweep()
    assert told.calls == []
    # As if the process that decided had died right after.
    await Approval.objects.aupdate(status="approved")
    await sweep()
    assert told.calls == [call_id]


async def test_a_denial_nobody_was_told_of_is_carried_out(two: TwoProviders) -> None:
    call_id = await kept(two)
    await Approval.objects.aupdate(status="denied")
    await sweep()
    assert await status(call_id) == "denied"
    assert (await KeptCall.objects.aget()).ended_at is not None


async def test_one_denial_nobody_was_told_of_is_enough(two: TwoProviders) -> None:
    tokens = await sync_to_async(make_policy)(
        name="Tokens", metric="tokens", hard_limit=NOTHING, action="approval"
    )
    call_id = await kept(two)
    await Approval.objects.filter(policy=tokens).aupdate(status="denied")
    await sweep()
    assert await status(call_id) == "denied"
    assert not await Approval.objects.filter(status="pending").aexists()


async def test_a_call_that_nobody_decides_is_given_up(two: TwoProviders, told: Told) -> None:
    call_id = await kept(two)
    await sweep(timezone.now() + timedelta(days=6, hours=23))
    assert await status(call_id) == "waiting"
    await sweep(timezone.now() + timedelta(days=7, seconds=1))
    assert await status(call_id) == "denied"
    approval = await Approval.objects.aget()
    assert (approval.status, approval.decided_by_id) == ("denied", None)
    assert approval.comment == kept_calls.NOT_DECIDED
    entry = await AuditEntry.objects.filter(object_id=str(approval.pk)).alatest("pk")
    assert entry.changes["status"] == ["pending", "denied"]
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert stored.error["message"] == kept_calls.NOT_DECIDED
    assert told.calls == []


async def test_an_approved_call_that_finds_no_place_is_given_up(
    two: TwoProviders, told: Told
) -> None:
    call_id = await kept(two)
    await decide()
    late = timezone.now() + timedelta(days=7, seconds=1)
    await sweep(late - timedelta(seconds=2))
    assert told.calls == [call_id] * 2
    await sweep(late)
    assert told.calls == [call_id] * 2
    row = await ModelCall.objects.aget()
    assert (row.status, row.error) == ("blocked", kept_calls.NOT_FOUND_A_PLACE)
    stored = await KeptCall.objects.aget()
    assert stored.error == {
        "status": 402,
        "code": "blocked",
        "message": kept_calls.NOT_FOUND_A_PLACE,
    }
    assert (await Approval.objects.aget()).status == "approved"


async def test_a_late_call_that_was_denied_ends_as_denied(two: TwoProviders) -> None:
    call_id = await kept(two)
    await Approval.objects.aupdate(status="denied", comment="Not today.")
    await sweep(timezone.now() + timedelta(days=8))
    row = await ModelCall.objects.aget(pk=call_id)
    assert row.status == "denied"
    assert "Not today." in row.error


async def test_a_late_call_whose_worker_died_ends_as_the_ledger_says(two: TwoProviders) -> None:
    await kept(two)
    now = timezone.now()
    await Approval.objects.aupdate(status="approved")
    await ModelCall.objects.aupdate(status="succeeded", settled_at=now)
    await sweep(now + timedelta(days=8))
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert stored.error["code"] == "answer_lost"


async def test_a_call_that_is_being_made_is_not_given_up(two: TwoProviders) -> None:
    call_id = await kept(two)
    await Approval.objects.aupdate(status="approved")
    await ModelCall.objects.aupdate(
        status="in_flight", owner=new_id(), expires_at=timezone.now() + timedelta(days=9)
    )
    await sweep(timezone.now() + timedelta(days=8))
    assert await status(call_id) == "in_flight"
    assert (await KeptCall.objects.aget()).ended_at is None


async def test_a_waiting_call_that_was_never_kept_is_closed(two: TwoProviders) -> None:
    call_id = await kept(two)
    await KeptCall.objects.all().adelete()
    await sweep()
    assert await status(call_id) == "waiting"
    await sweep(timezone.now() + timedelta(minutes=5, seconds=1))
    row = await ModelCall.objects.aget()
    assert (row.status, row.error) == ("blocked", kept_calls.NOT_KEPT)


@pytest.mark.parametrize(
    ("ended", "status_code", "code"),
    [
        (CallStatus.UNCONFIRMED, 502, "unconfirmed"),
        (CallStatus.SUCCEEDED, 502, "answer_lost"),
        (CallStatus.FAILED, 502, "failed"),
        (CallStatus.DENIED, 402, "denied"),
    ],
)
async def test_a_call_whose_worker_died_ends_as_the_ledger_says(
    two: TwoProviders, told: Told, ended: CallStatus, status_code: int, code: str
) -> None:
    await kept(two)
    now = timezone.now()
    await Approval.objects.aupdate(status="approved")
    await ModelCall.objects.aupdate(status=ended, settled_at=now, error="It is over.")
    await sweep(now + timedelta(seconds=30))
    assert (await KeptCall.objects.aget()).ended_at is None
    await sweep(now + timedelta(seconds=61))
    stored = await KeptCall.objects.aget()
    assert stored.error == {"status": status_code, "code": code, "message": "It is over."}
    assert stored.request is None
    assert told.calls == []


@pytest.mark.parametrize("how", ["revoked", "expired", "deleted", "team disabled"])
async def test_who_is_no_longer_let_in_has_no_call_made(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    script = scripted.install(monkeypatch, first=scripted.answer())
    key = (await sync_to_async(keys.create)(team=two.team, name="Mine")).record
    caller = replace(two.request().caller, api_key_id=key.pk)
    call_id = await kept(two, caller=caller)
    now = timezone.now()
    if how == "revoked":
        await sync_to_async(keys.revoke)(key)
    elif how == "expired":
        await ApiKey.objects.aupdate(expires_at=now - timedelta(seconds=1))
    elif how == "deleted":
        await ApiKey.objects.all().adelete()
    else:
        await Team.objects.aupdate(enabled=False)
    await decide()
    await make(call_id)
    assert script.asked == []
    row = await ModelCall.objects.aget()
    assert (row.status, row.error) == ("denied", kept_calls.NO_LONGER_ALLOWED)
    stored = await KeptCall.objects.aget()
    assert stored.request is None
    assert stored.error is not None


async def test_a_fault_of_our_own_ends_it_as_failed(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("A fault of ours.")

    scripted.install(monkeypatch, first=broken)
    call_id = await kept(two)
    await decide()
    with pytest.raises(RuntimeError):
        await make(call_id)
    assert await status(call_id) == "failed"
    await sweep(timezone.now() + timedelta(seconds=61))
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert (stored.error["status"], stored.error["code"]) == (502, "failed")
    # The provider may have been at work.
    consumed, held, raised_by = await raised(two)
    assert (consumed > 0, held, raised_by) == (True, 0, consumed)


async def test_a_call_that_takes_too_long_is_given_up(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.install(monkeypatch, first=lambda _: asyncio.Event().wait())
    monkeypatch.setattr(kept_calls, "LONGEST_CALL_SECONDS", 0.5)
    call_id = await kept(two)
    await decide()
    await make(call_id)
    stored = await KeptCall.objects.aget()
    assert stored.error is not None
    assert (stored.error["status"], stored.error["code"]) == (504, "timed_out")
    assert stored.request is None
    # The provider may have been at work.
    consumed, held, raised_by = await raised(two)
    assert (consumed > 0, held, raised_by) == (True, 0, consumed)


async def test_a_call_that_has_not_begun_in_time_goes_on_waiting(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = await kept(two)
    await decide()

    async def waits(*_: Any, **__: Any) -> Any:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(kept_calls, "execute", waits)
        await make(call_id)
    assert (await KeptCall.objects.aget()).ended_at is None
    await make(call_id)
    assert await status(call_id) == "succeeded"


async def test_what_has_ended_is_forgotten_after_a_day(two: TwoProviders) -> None:
    await kept(two)
    await decide(approve=False)
    await sweep(timezone.now() + timedelta(hours=23))
    assert await KeptCall.objects.acount() == 1
    await sweep(timezone.now() + timedelta(hours=25))
    assert not await KeptCall.objects.aexists()
    assert await ModelCall.objects.acount() == 1


async def test_a_kept_answer_does_not_come_from_what_is_kept_for_others(
    two: TwoProviders,
) -> None:
    await type(two.first).objects.all().aupdate(cache_seconds=60)
    await two.changed()
    first = await execute(two.request(temperature=0), runtime=two.runtime)
    assert first.cacheable
    # From now on even an answer that is kept counts one request too many.
    await approval_needed(two, metric="requests")
    request = two.request(temperature=0)
    error = await refusal(replace(request, respond_async=True), two)
    assert isinstance(error, CallWaits)
    assert error.call_id is not None
    assert await status(error.call_id) == "waiting"
    await decide()
    await make(error.call_id)
    assert await status(error.call_id) == "succeeded"
