"""Chats' addresses, what teams may see of channels, and their deliveries, through the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from governance.alerts.deliveries import new_delivery
from governance.models import AuditEntry, Channel, Delivery, Team
from providers import vault
from providers.identifiers import new_id
from providers.models import Secret
from tests.api.callers import Caller, body_of, items_of, member_of, signed_in
from tests.api.problems import faults
from tests.governance.alerts.receiver import SECRET
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db
TOKEN = "T0000/B0000/abcdefghijkl"
ADDRESS = f"https://hooks.slack.com/services/{TOKEN}"
HOST = "https://hooks.slack.com"
CHAT = {"name": "chat", "format": "slack", "url": ADDRESS}


def kept() -> str:
    address = Channel.objects.get().address
    assert address is not None
    return vault.decrypt(address.ciphertext).text


def add(organisation: Caller, **fields: Any) -> str:
    added = organisation.post("/channels", {**CHAT, **fields})
    assert added.status_code == 201, added.content
    return f"/channels/{body_of(added)['id']}"


def test_a_chats_address_goes_in_and_never_comes_out(organisation: Caller) -> None:
    page = add(organisation)
    assert kept() == ADDRESS
    shown = items_of(organisation.get("/channels"))[0]
    assert (shown["url"], shown["format"], shown["has_secret"]) == (HOST, "slack", False)

    # A change of something else, or of nothing, keeps it; another address takes its place.
    for change in ({"name": "other"}, {"url": HOST}):
        assert organisation.patch(page, change).status_code == 200
        assert kept() == ADDRESS
    another = "https://discord.com/api/webhooks/1/abcdefghijkl"
    changed = organisation.patch(page, {"url": another, "format": "discord"})
    assert body_of(changed)["url"] == "https://discord.com"
    assert kept() == another

    everything = [*Channel.objects.values_list("url", "name"), *AuditEntry.objects.values_list()]
    assert "abcdefghijkl" not in str(everything) + changed.content.decode()


@pytest.mark.parametrize("url", ["", "https://", "http://[", HOST, f"{HOST}/", "ftp://a/b", "no"])
def test_a_chat_needs_a_whole_address(organisation: Caller, url: str) -> None:
    assert set(faults(organisation.post("/channels", {**CHAT, "url": url}))) == {"url"}
    assert not Channel.objects.exists()


def test_another_host_alone_is_no_address(organisation: Caller) -> None:
    page = add(organisation)
    assert set(faults(organisation.patch(page, {"url": "https://other.example"}))) == {"url"}
    assert kept() == ADDRESS


def test_a_chat_that_becomes_a_signed_webhook_gives_its_address_anew(organisation: Caller) -> None:
    page = add(organisation)
    standard = {"format": "standard", "secret": SECRET}
    assert set(faults(organisation.patch(page, standard))) == {"url"}
    changed = organisation.patch(page, {**standard, "url": "https://hooks.example.com/a"})
    assert body_of(changed)["url"] == "https://hooks.example.com/a"
    assert Channel.objects.get().address is None
    assert Secret.objects.count() == 1

    # And back: what was in the clear is kept as a secret from then on.
    body_of(organisation.patch(page, {"format": "teams"}))
    assert kept() == "https://hooks.example.com/a"
    assert Channel.objects.get().url == "https://hooks.example.com"


def test_a_channel_of_the_console_needs_nothing(organisation: Caller) -> None:
    page = add(organisation, kind="console", url="", format="standard")
    test = body_of(organisation.post(f"{page}/test"))
    assert (test["status"], test["title"]) == ("delivered", "This is a test of Palyra's messages.")


def test_a_channel_goes_with_its_secrets(organisation: Caller) -> None:
    page = add(organisation)
    signed = add(
        organisation, name="b", format="standard", url="https://h.example/a", secret=SECRET
    )
    assert Secret.objects.count() == 2
    for one in (page, signed):
        assert organisation.delete(one).status_code == 204
    assert not Channel.objects.exists()
    assert not Secret.objects.exists()


@pytest.mark.parametrize(
    "url",
    [
        ADDRESS,
        "https://discord.com/api/webhooks/1/a",
        "https://HOOKS.slack.com./services/T0",
        "https://contoso.webhook.office.com/webhookb2/a",
    ],
)
def test_a_chats_address_is_not_taken_for_a_signed_webhooks(organisation: Caller, url: str) -> None:
    given = {"name": "b", "format": "standard", "url": url, "secret": SECRET}
    refused = faults(organisation.post("/channels", given))
    assert set(refused) == {"format"}
    assert "Choose the format of that chat" in str(refused)


def test_what_is_no_webhook_keeps_no_address(organisation: Caller) -> None:
    mail = {"kind": "email", "format": "slack", "recipients": ["a@b.example"]}
    add(organisation, **mail)
    channel = Channel.objects.get()
    assert (channel.url, channel.address) == ("", None)
    assert "abcdefghijkl" not in str(list(AuditEntry.objects.values_list()))


def test_who_may_not_see_channels_is_not_told_their_hosts(
    integration: Caller, organisation: Caller, team: Team
) -> None:
    log: list[dict[str, Any]] = [
        {"at": "x", "status": None, "fault": "h.example: no such host", "milliseconds": 3},
        {"at": "y", "status": 503, "fault": "", "milliseconds": 3},
    ]
    page = f"/deliveries/{make_delivery(team, log=log).pk}"
    assert body_of(organisation.get(page))["log"] == log
    blurred = [log[0] | {"fault": "It could not be reached."}, log[1]]
    answers = [
        body_of(integration.get(page)),
        items_of(integration.get("/deliveries"))[0],
        body_of(integration.post(f"{page}/redeliver")),
    ]
    assert [one["log"] for one in answers] == [blurred] * 3


def test_formats_and_purposes_are_of_those_there_are(organisation: Caller) -> None:
    wrong = organisation.post("/channels", {**CHAT, "format": "irc", "purpose": "fun"})
    assert set(faults(wrong)) == {"format", "purpose"}


def test_a_team_sees_what_it_may_choose(
    integration: Caller, organisation: Caller, team: Team
) -> None:
    fields: dict[str, Any] = {"url": "https://hooks.example.com/a", "recipients": ["a@b.example"]}
    own = Channel.objects.create(name="own", team=team, purpose="runs", **fields)
    everyones = Channel.objects.create(name="everyone's", enabled=False, **fields)
    Channel.objects.create(name="foreign", team=make_team(), **fields)
    Channel.objects.create(name="alerts", team=team, purpose="alerts", **fields)

    seen = items_of(integration.get("/channels"))
    assert [one["id"] for one in seen] == [str(everyones.pk), str(own.pk)]
    assert {(one["url"], *one["recipients"]) for one in seen} == {("",)}
    assert len(items_of(organisation.get("/channels"))) == 4


def make_delivery(team: Team | None, **fields: Any) -> Delivery:
    channel = Channel.objects.create(name=f"{Channel.objects.count()}", url="https://h.example")
    body = {"data": {"title": "Report: failed", "output": "Some."}}
    delivery = new_delivery(
        channel, "run.failed", body, timezone.now(), team_id=team.pk if team else None
    )
    for name, value in {"status": "failed", "run_id": new_id(), **fields}.items():
        setattr(delivery, name, value)
    delivery.save()
    return delivery


def test_a_team_sees_and_repeats_what_tells_of_its_runs(
    integration: Caller, organisation: Caller, team: Team
) -> None:
    own = make_delivery(team)
    alerts = make_delivery(team, run_id=None, event="alert.opened")
    foreign = make_delivery(make_team())
    nobodys = make_delivery(None, run_id=None)
    seen = items_of(integration.get("/deliveries"))
    assert {one["id"] for one in seen} == {str(own.pk), str(alerts.pk)}
    assert len(items_of(organisation.get("/deliveries"))) == 4
    page = body_of(integration.get(f"/deliveries/{own.pk}"))
    assert (page["run_id"], page["team"]) == (str(own.run_id), "demo")
    assert page["body"] == own.body

    member = signed_in(member_of(team))
    for caller in (integration, member):
        Delivery.objects.update(status="failed")
        statuses = [
            caller.post(f"/deliveries/{one.pk}/redeliver").status_code
            for one in (own, alerts, foreign, nobodys)
        ]
        assert statuses == [200, 403, 404, 404]
    assert Delivery.objects.get(status="pending") == own
    assert organisation.post(f"/deliveries/{foreign.pk}/redeliver").status_code == 200
    assert integration.get(f"/deliveries/{foreign.pk}").status_code == 404


def test_deliveries_are_found(organisation: Caller, team: Team) -> None:
    one, other = make_delivery(team), make_delivery(team, event="run.succeeded", status="delivered")
    for found in (
        {"event": "run.failed"},
        {"status": "failed"},
        {"channel": str(one.channel_id)},
        {"run_id": str(one.run_id)},
    ):
        assert [row["id"] for row in items_of(organisation.get("/deliveries", **found))] == [
            str(one.pk)
        ]
    assert items_of(organisation.get("/deliveries", event="run.succeeded", run_id=one.run_id)) == []
    assert other.status == "delivered"


def test_nothing_is_repeated_to_a_channel_that_is_disabled(
    organisation: Caller, team: Team
) -> None:
    delivery = make_delivery(team)
    Channel.objects.update(enabled=False)
    assert "disabled" in str(faults(organisation.post(f"/deliveries/{delivery.pk}/redeliver")))
