"""What is said in the playground of a call that is refused or fails."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from governance import approvals
from governance.models import (
    Approval,
    AuditEntry,
    BudgetPolicy,
    ModelCall,
    ProcessHeartbeat,
    Team,
)
from palyra_site.console.playground import sending
from providers.models import Provider
from tests.console.playground_streams.sending import SEND, Sent


async def test_a_refusal_of_a_budget_is_told_with_links(sent: Sent) -> None:
    await _limit(sent, hard_limit=1)

    accepted, refused = await sent.send()

    assert refused[0] == "refused"
    said = refused[1]
    assert said["title"] == "A budget refused this call"
    assert "“Monthly” allows" in said["message"]
    policy = f"/admin/governance/budgetpolicy/{sent.scene.policy.pk}/change/"
    assert [link["address"] for link in said["links"]] == [
        policy,
        f"/admin/governance/modelcall/{accepted[1]['call']}/change/",
    ]
    row = await sent.web.call()
    assert (row.status, row.user_id) == ("blocked", sent.person.pk)


async def test_a_refusal_says_whether_the_ledger_has_the_call(sent: Sent) -> None:
    await _limit(sent, hard_limit=1)
    assert (await sent.send())[-1][1]["entered"] is True

    await Team.objects.aupdate(allowed_models=["other/model"])
    await _refresh(sent)
    refused = (await sent.send())[-1][1]

    assert refused["title"] == "The team may not use this model"
    assert refused["entered"] is False
    assert await ModelCall.objects.acount() == 1


async def test_a_call_that_is_approved_is_made_when_it_is_sent_again(sent: Sent) -> None:
    await _limit(sent, hard_limit=1, action="approval")
    refused = (await sent.send())[-1][1]
    approval = await Approval.objects.aget()
    assert refused["title"] == "This call needs approval"
    assert refused["approvals"] == [str(approval.pk)]
    assert refused["links"][0]["address"] == f"/admin/governance/approval/{approval.pk}/change/"
    assert approval.requested_by_id == sent.person.pk

    # Before anybody has decided, it is refused as before, and nothing more is asked for.
    again = (await sent.send(approvals=refused["approvals"][0]))[-1][1]
    assert again["approvals"] == refused["approvals"]
    await _approve()

    found = await sent.send(approvals=refused["approvals"][0])

    assert found[-1][0] == "ended"
    assert await Approval.objects.acount() == 1


async def test_the_audit_trail_names_who_asked_for_more(sent: Sent) -> None:
    await _limit(sent, hard_limit=1, action="approval")
    await sent.send()

    approval = await Approval.objects.aget()
    entry = await AuditEntry.objects.filter(object_id=str(approval.pk)).afirst()
    assert entry is not None
    assert (entry.actor, entry.surface) == ("sender", "console")


async def test_without_permission_nothing_is_sent(sent: Sent) -> None:
    await sync_to_async(sent.person.user_permissions.clear)()

    response = await sent.web.client.post(SEND, data=sent.form(), headers=sent.headers)

    assert response.status_code == 403
    assert not await ModelCall.objects.aexists()


async def test_without_the_forms_token_nothing_is_sent(sent: Sent) -> None:
    form = sent.form(csrfmiddlewaretoken="")

    response = await sent.web.client.post(SEND, data=form, headers=sent.headers)

    assert response.status_code == 403
    assert not await ModelCall.objects.aexists()


async def test_a_failure_of_the_provider_is_told(sent: Sent) -> None:
    await Provider.objects.all().aupdate(rehearsal_failure_percent=100, max_retries=0)
    await _refresh(sent)

    found = await sent.send()

    assert [name for name, _ in found] == ["accepted", "refused"]
    assert found[-1][1]["title"] == "The provider gave no answer"


async def test_a_fault_of_ours_is_told_without_its_words(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the password is 12345")

    monkeypatch.setattr(sending, "open_stream", fail)

    found = await sent.send()

    assert found[-1][0] == "refused"
    assert found[-1][1]["title"] == "Palyra failed"
    assert found[-1][1]["entered"] is True
    assert "12345" not in orjson.dumps(found).decode()
    assert found[0][1]["call"] in caplog.text


async def test_no_page_counts_as_a_second_web_process(sent: Sent) -> None:
    await sent.send()

    assert await ProcessHeartbeat.objects.filter(role="web").acount() == 1


async def _limit(sent: Sent, **fields: Any) -> None:
    await BudgetPolicy.objects.filter(pk=sent.scene.policy.pk).aupdate(**fields)
    await _refresh(sent)


async def _refresh(sent: Sent) -> None:
    await asyncio.to_thread(sent.web.application.runtime.keeper.refresh)


@sync_to_async
def _approve() -> None:
    boss = User.objects.create_superuser("boss")
    approvals.decide(
        approval_id=Approval.objects.get().pk,
        decided_by=boss,
        approve=True,
        comment="",
        now=timezone.now(),
    )
