"""Sending from the playground, through the whole web process: what comes, and what is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.utils import timezone

from governance import approvals, calls
from governance.models import (
    Approval,
    AuditEntry,
    BudgetPolicy,
    BudgetWindow,
    ModelCall,
    ProcessHeartbeat,
    Team,
)
from palyra_site.console.playground import sending
from providers.models import Provider, ProviderModel
from tests.openai_endpoint.streams import PATIENCE, chunk
from tests.openai_endpoint.web import Scene, Web, make_scene, running, serving
from tests.providers import wire
from tests.providers.wire import Exchange
from tests.support.factories import make_model, make_price, make_remote

SEND = "/admin/playground/send/"
# One second is what is promised; what a busy machine takes to notice comes on top.
AT_ONCE = 1.0
Event = tuple[str, dict[str, Any]]


@dataclass
class Sent:
    """A person's browser at the web process."""

    web: Web
    person: User
    scene: Scene
    cookies: dict[str, str]

    def form(self, **fields: Any) -> dict[str, Any]:
        """A prompt as the page sends it."""
        return {
            "csrfmiddlewaretoken": self.cookies["csrftoken"],
            "team": self.scene.team.pk,
            "model": "nice",
            "prompt": "Hello.",
            "task_class": "auxiliary_summary",
            **fields,
        }

    @property
    def headers(self) -> dict[str, str]:
        """What a browser adds."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"cookie": cookies}

    async def send(self, **fields: Any) -> list[Event]:
        """Every event of the answer, once it has ended."""
        response = await self.web.client.post(SEND, data=self.form(**fields), headers=self.headers)
        assert response.status_code == 200, response.text
        return events(response.text)

    @asynccontextmanager
    async def sending(self, **fields: Any) -> AsyncIterator[AsyncIterator[Event]]:
        """The events as they come; leaving the block closes the connection."""
        form, headers = self.form(**fields), self.headers
        async with self.web.client.stream("POST", SEND, data=form, headers=headers) as response:
            assert response.status_code == 200
            yield _events_of(response)


async def _events_of(response: httpx.Response) -> AsyncIterator[Event]:
    lines: list[str] = []
    async for line in response.aiter_lines():
        if line:
            lines.append(line)
        else:
            for event in events("\n".join(lines) + "\n\n"):
                yield event
            lines = []


def events(text: str) -> list[Event]:
    """The events in a text, without comments."""
    found = []
    for block in text.split("\n\n"):
        name, _, data = block.partition("\ndata: ")
        if name.startswith("event: "):
            found.append((name.removeprefix("event: "), orjson.loads(data)))
    return found


def text_of(found: list[Event]) -> str:
    return "".join(data["text"] for name, data in found if name == "text")


@pytest.fixture
def scene(transactional_db: None) -> Scene:
    return make_scene()


@pytest.fixture
def person(scene: Scene) -> User:
    """Somebody who may send prompts, and see what they lead to."""
    somebody = User.objects.create_user("sender", is_staff=True)
    somebody.user_permissions.set(
        Permission.objects.filter(
            codename__in=("use_playground", "view_modelcall", "view_budgetpolicy", "view_approval")
        )
    )
    return somebody


def _cookies(person: User) -> dict[str, str]:
    browser = Client()
    browser.force_login(person)
    browser.get("/admin/playground/")
    return {name: morsel.value for name, morsel in browser.cookies.items()}


@pytest.fixture
async def sent(scene: Scene, person: User) -> AsyncIterator[Sent]:
    cookies = await sync_to_async(_cookies)(person)
    async with running(scene.key) as web:
        yield Sent(web, person, scene, cookies)


@pytest.fixture
async def served(scene: Scene, person: User) -> AsyncIterator[Sent]:
    cookies = await sync_to_async(_cookies)(person)
    async with serving(scene.key) as web:
        yield Sent(web, person, scene, cookies)


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


class Pieces:
    """An upstream that streams what a test lets it."""

    def __init__(self) -> None:
        self.next: asyncio.Queue[bytes] = asyncio.Queue()
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()

    async def behave(self, exchange: Exchange) -> None:
        self.arrived.set()
        talking = asyncio.create_task(self._talk(exchange))
        await exchange.gone()
        self.left.set()
        talking.cancel()

    async def _talk(self, exchange: Exchange) -> None:
        first = await self.next.get()
        await exchange.begin()
        while True:
            await exchange.piece(first)
            first = await self.next.get()

    def say(self, *words: str) -> None:
        for word in words:
            self.next.put_nowait(b"data: %b\n\n" % orjson.dumps(chunk(word)))


@pytest.fixture
async def far(scene: Scene) -> AsyncIterator[Pieces]:
    """Who answers as the model `far`."""
    pieces = Pieces()
    async with wire.serving(pieces.behave) as remote:
        await sync_to_async(_register)(remote.base_url)
        yield pieces


def _register(base_url: str) -> ProviderModel:
    provider = make_remote(name="remote", base_url=base_url, max_retries=0)
    model = make_model(provider=provider, name="far", max_output_tokens=1000)
    make_price(model)
    return model


async def test_pieces_are_passed_on_as_they_come(far: Pieces, served: Sent) -> None:
    async with asyncio.timeout(PATIENCE), served.sending(model="far") as found:
        assert (await anext(found))[0] == "accepted"
        far.say("one")
        assert (await anext(found))[0] == "begun"
        for word in ("one", "two", "three"):
            assert await anext(found) == ("text", {"text": word})
            far.say({"one": "two", "two": "three"}.get(word, "more"))


@pytest.mark.parametrize("said", [(), ("a word or two",)])
async def test_whoever_stops_ends_the_call_and_pays_for_what_was_done(
    far: Pieces, served: Sent, said: tuple[str, ...]
) -> None:
    async with asyncio.timeout(PATIENCE):
        async with served.sending(model="far") as found:
            await anext(found)
            await far.arrived.wait()
            far.say(*said)
            for _ in said:
                await anext(found)
        left_at = timezone.now()
        async with asyncio.timeout(AT_ONCE):
            await far.left.wait()
        row = await _settled()

    assert row.settled_at is not None
    assert (row.settled_at - left_at).total_seconds() < AT_ONCE
    assert row.status == "cancelled"
    assert row.cost is not None and row.cost > 0
    window = await BudgetWindow.objects.aget()
    assert (window.consumed, window.held) == (row.cost, 0)


async def test_a_server_that_stops_settles_what_is_under_way(far: Pieces, served: Sent) -> None:
    async with asyncio.timeout(PATIENCE), served.sending(model="far") as found:
        far.say("one")
        await anext(found)
        await anext(found)
        stopping = asyncio.create_task(served.web.stop())
        await far.left.wait()
        await stopping

    row = await ModelCall.objects.aget()
    assert row.status == "cancelled"
    assert row.cost is not None and row.cost > 0


async def test_a_silent_provider_does_not_silence_the_connection(
    far: Pieces, served: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "KEEP_ALIVE_SECONDS", 0.02)
    form, headers = served.form(model="far"), served.headers
    async with (
        asyncio.timeout(PATIENCE),
        served.web.client.stream("POST", SEND, data=form, headers=headers) as response,
    ):
        lines = [line async for line in _some(response, ": keep-alive", 3)]

    assert len(lines) == 3
    assert response.headers["x-accel-buffering"] == "no"
    assert "no-store" in response.headers["cache-control"]


async def _some(response: httpx.Response, wanted: str, most: int) -> AsyncIterator[str]:
    seen = 0
    async for line in response.aiter_lines():
        if line == wanted:
            seen += 1
            yield line
        if seen == most:
            return


async def test_an_answer_under_way_keeps_no_connection_to_the_database(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web process has few: the request's thread gives its own back before the call begins."""
    happened: list[Any] = []
    open_stream = calls.open_stream

    async def noted(*arguments: Any, **options: Any) -> Any:
        happened.append("opened")
        return await open_stream(*arguments, **options)

    def close() -> None:
        happened.append(get_ident())
        connections.close_all()

    monkeypatch.setattr(sending, "close_old_connections", close)
    monkeypatch.setattr(sending, "open_stream", noted)

    await sent.send()

    closing_in, opened = happened
    assert opened == "opened"
    assert closing_in != get_ident()


async def _settled() -> ModelCall:
    while True:
        row = await ModelCall.objects.aget()
        if row.settled_at is not None:
            return row
        await asyncio.sleep(0.01)


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
