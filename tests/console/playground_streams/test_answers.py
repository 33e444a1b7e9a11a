"""Sending from the playground, through the whole web process: what comes, and what is left."""

from __future__ import annotations

import asyncio

from governance.models import (
    BudgetWindow,
)
from tests.console.playground_streams.sending import Event, Sent
from tests.openai_endpoint.streams import PATIENCE


def text_of(found: list[Event]) -> str:
    return "".join(data["text"] for name, data in found if name == "text")


async def test_an_answer_comes_in_events(sent: Sent) -> None:
    found = await sent.send()

    names = [name for name, _ in found]
    assert names[:2] == ["accepted", "begun"]
    assert names[-1] == "ended"
    assert set(names[2:-1]) == {"text"}
    assert text_of(found).startswith("You asked: “Hello.”")
    begun = found[1][1]
    assert (begun["model"], begun["cached"]) == ("here/nice", False)
    assert any("nice" in sentence for sentence in begun["because"])
    row = await sent.web.call()
    assert found[0][1] == {"call": str(row.pk)}


async def test_it_is_a_call_like_any_other(sent: Sent) -> None:
    await sent.send(system_prompt="Be brief.", max_output_tokens="7", routing_mode="dry_run")

    row = await sent.web.call()
    assert (row.surface, row.user_id, row.team_id) == (
        "console",
        sent.person.pk,
        sent.scene.team.pk,
    )
    assert (row.api_key_id, row.streamed, row.task_class) == (None, True, "auxiliary_summary")
    assert (row.status, row.usage_reported, row.routing_mode) == ("succeeded", True, "dry_run")
    assert row.decision["output_cap"] == 7
    window = await BudgetWindow.objects.aget()
    assert row.cost is not None and row.cost > 0
    assert (window.consumed, window.held) == (row.cost, 0)


async def test_an_answer_that_was_cut_says_so(sent: Sent) -> None:
    found = await sent.send(max_output_tokens="7")

    assert "cut at the most output tokens" in found[-1][1]["note"]


async def test_what_it_cost_can_be_looked_up_by_its_name(sent: Sent) -> None:
    call = (await sent.send())[0][1]["call"]
    address = f"/admin/playground/calls/{call}/"
    async with asyncio.timeout(PATIENCE):
        while (
            shown := await sent.web.client.get(address, headers=sent.headers)
        ).status_code == 202:
            await asyncio.sleep(0.01)

    assert shown.status_code == 200
    assert "Succeeded" in shown.text
    assert f"/admin/governance/modelcall/{call}/change/" in shown.text
