"""Messages to chats and the console, over real connections, and who is sent what when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from pytest_django import Settings

from governance.alerts import deliveries, formats
from governance.alerts.deliveries import (
    ANOTHERS,
    AT_ONCE,
    AT_ONCE_EACH,
    AT_ONCE_MAIL,
    BACKOFF,
    CLAIMED_FOR,
    NOWHERE,
    claim_due,
    new_delivery,
    none_due,
    record,
    redeliver,
    send_test,
)
from governance.alerts.sending import LONGEST_PAUSE, Outgoing
from governance.models import Channel, ChannelFormat, Delivery, DeliveryStatus
from providers.models import Secret
from tests.governance.alerts.receiver import SECRET, Receiver, is_signed, receiving, send_all
from tests.support.factories import make_secret, make_team

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CHATS = [one.value for one in ChannelFormat if one != ChannelFormat.STANDARD]
BODY = {
    "type": "run.failed",
    "timestamp": NOON.isoformat(),
    "data": {"title": "Report: failed", "explanation": "No answer.", "url": "https://p.example/"},
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def make_channel(url: str = "https://hooks.example.com", **fields: Any) -> Channel:
    defaults = {
        "name": f"hook {Channel.objects.count()}",
        "url": url,
        "secret": make_secret(SECRET),
        "allow_private_addresses": True,
    }
    return Channel.objects.create(**{**defaults, **fields})


def make_chat(receiver: Receiver, format_: str = "slack", **fields: Any) -> Channel:
    """One whose address is kept as a secret; its `url` leads to the host alone."""
    address = make_secret(f"{receiver.url}/T0/B0/token")
    url = receiver.url.removesuffix("/hook")
    return make_channel(url, format=format_, secret=None, address=address, **fields)


def make_delivery(channel: Channel, now: datetime = NOON, **fields: Any) -> Delivery:
    delivery = new_delivery(channel, "run.failed", BODY, now, **fields)
    delivery.save()
    return delivery


def under_way(channel: Channel, number: int = 1) -> list[Outgoing]:
    """So many messages to it, which this process is sending."""
    return [Outgoing(new_delivery(channel, "e", {}, NOON), channel, "") for _ in range(number)]


def send_due(now: datetime) -> list[Delivery]:
    claimed = claim_due(now)
    record(send_all(claimed, now), now)
    return [one.delivery for one in claimed]


@pytest.mark.parametrize("chat", CHATS)
def test_a_chat_is_sent_its_own_format(receiver: Receiver, chat: str) -> None:
    delivery = make_delivery(make_chat(receiver, chat))
    send_due(NOON)
    [(headers, _)] = receiver.received
    assert receiver.paths == ["/hook/T0/B0/token"]
    assert receiver.bodies() == [formats.chat(chat, BODY)]
    assert headers["content-type"] == "application/json"
    assert not [name for name in headers if name.startswith("webhook-")]
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.DELIVERED


def test_a_standard_webhook_is_signed(receiver: Receiver) -> None:
    delivery = make_delivery(make_channel(receiver.url))
    send_due(NOON)
    [(headers, body)] = receiver.received
    assert is_signed(headers, body)
    assert headers["webhook-id"] == str(delivery.pk)
    assert receiver.bodies() == [BODY]


@pytest.mark.parametrize("status", [404, 410])
def test_a_chats_webhook_that_was_deleted_is_disabled(receiver: Receiver, status: int) -> None:
    receiver.status = status
    delivery = make_delivery(make_chat(receiver))
    send_due(NOON)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.FAILED
    assert not Channel.objects.get().enabled
    with pytest.raises(ValidationError, match="disabled"):
        redeliver(Delivery.objects.get(), NOON)


def test_what_is_yet_to_be_sent_is_not_sent_again() -> None:
    delivery = make_delivery(make_channel(), NOON)
    with pytest.raises(ValidationError, match="on its way already"):
        redeliver(delivery, NOON + SECOND)
    delivery.refresh_from_db()
    assert delivery.next_at == NOON


def test_of_other_webhooks_404_is_tried_again(receiver: Receiver) -> None:
    receiver.status = 404
    delivery = make_delivery(make_channel(receiver.url))
    send_due(NOON)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.next_at) == (DeliveryStatus.PENDING, NOON + BACKOFF[0])


@pytest.mark.parametrize(
    ("asked", "waits"),
    [("30", 30), ("1", 5), ("", 5), ("100000", 3600), ("soon", 5)],
)
def test_a_receiver_that_has_too_much_says_when(receiver: Receiver, asked: str, waits: int) -> None:
    receiver.status, receiver.headers = 429, {"retry-after": asked}
    delivery = make_delivery(make_chat(receiver))
    send_due(NOON)
    delivery.refresh_from_db()
    assert delivery.next_at == NOON + waits * SECOND


def test_what_is_for_the_console_is_there_at_once() -> None:
    channel = make_channel("", kind="console", secret=None)
    delivery = make_delivery(channel)
    assert (delivery.status, delivery.delivered_at) == (DeliveryStatus.DELIVERED, NOON)
    assert claim_due(NOON) == []
    # What was on its way when the channel became one of the console.
    redeliver(delivery, NOON)
    send_due(NOON)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.DELIVERED


def test_no_channel_holds_up_the_others(receiver: Receiver) -> None:
    busy, quiet = make_channel(receiver.url), make_channel(receiver.url)
    for _ in range(AT_ONCE_EACH + 5):
        make_delivery(busy)
    chat = make_chat(receiver)
    messages = [make_delivery(chat, NOON + number * SECOND) for number in range(3)]
    last = make_delivery(quiet, NOON + 5 * SECOND)

    sent = send_due(NOON + 6 * SECOND)
    assert sum(one.channel_id == busy.pk for one in sent) == AT_ONCE_EACH
    assert [one for one in sent if one.channel_id == chat.pk] == messages[:1]
    assert last in sent
    assert messages[1] in send_due(NOON + 7 * SECOND)


def test_a_line_has_no_more_places_than_are_left(receiver: Receiver) -> None:
    busy, chat = make_channel(receiver.url), make_chat(receiver)
    mails = [make_channel("", kind="email", recipients=["a@example.com"]) for _ in range(2)]
    for channel in (*[busy] * 3, chat, *mails * 3):
        make_delivery(channel)
    # With those there are places for 113, of which one line may have an eighth.
    claimed = claim_due(NOON, [*under_way(busy, 13), *under_way(chat), *under_way(mails[0])])

    assert sum(one.channel == busy for one in claimed) == 1
    assert sum(one.channel == chat for one in claimed) == 0
    # All mail goes to one server.
    assert sum(one.channel in mails for one in claimed) == AT_ONCE_MAIL - 1


def test_slow_channels_leave_places_for_others(receiver: Receiver) -> None:
    """However many channels hang, each of them is given fewer places than there are left."""
    claimed: list[Outgoing] = []
    for _ in range(12):
        channel = make_channel(receiver.url)
        for _ in range(AT_ONCE_EACH):
            make_delivery(channel)
        claimed += claim_due(NOON, claimed)
        assert any(one.channel == channel for one in claimed)
    assert len(claimed) < AT_ONCE
    assert claim_due(NOON, under_way(channel, AT_ONCE)) == []


def make_mail() -> Channel:
    return make_channel("", kind="email", recipients=["a@example.com"])


def test_much_mail_of_one_channel_keeps_no_others_waiting() -> None:
    many, few = make_mail(), make_mail()
    for _ in range(3 * AT_ONCE_MAIL):
        make_delivery(many)
    claimed = claim_due(NOON)
    assert len(claimed) == AT_ONCE_MAIL
    for _ in range(AT_ONCE_MAIL):
        make_delivery(few, NOON + SECOND)

    # One place comes free after the other, and what waits longest is always the same channel's.
    later = []
    for _ in range(AT_ONCE_MAIL):
        del claimed[0]
        [more] = claim_due(NOON + SECOND, claimed)
        claimed.append(more)
        later.append(more.channel)
    assert later[0] == few
    assert later.count(many) == later.count(few)


def test_of_lines_that_are_full_nothing_is_read(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, chat, mail = make_channel(receiver.url), make_chat(receiver), make_mail()
    for channel in (busy, chat, mail, make_mail()):
        make_delivery(channel)
    full = [*under_way(busy, AT_ONCE_EACH), *under_way(chat), *under_way(mail, AT_ONCE_MAIL)]
    numbered = deliveries._first_of_each_channel
    read: list[int] = []

    def count(due: QuerySet[Delivery], fair: int) -> QuerySet[Any]:
        read.append(due.count())
        return numbered(due, fair)

    monkeypatch.setattr(deliveries, "_first_of_each_channel", count)
    assert claim_due(NOON, full) == []
    assert len(claim_due(NOON)) == 4
    assert read == [0, 4]


def test_what_is_under_way_is_not_claimed_anew_though_its_claim_has_ended(
    receiver: Receiver,
) -> None:
    make_delivery(make_channel(receiver.url))
    claimed = claim_due(NOON)
    much_later = NOON + 2 * CLAIMED_FOR
    assert claim_due(much_later, claimed) == []
    # Another process may take it for lost.
    assert len(claim_due(much_later)) == 1


def test_who_answers_has_it_though_the_rest_of_the_answer_never_comes(receiver: Receiver) -> None:
    receiver.status, receiver.dawdles = 200, True
    receiver.answers.clear()
    delivery = make_delivery(make_channel(receiver.url))
    send_due(NOON)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.log[0]["status"]) == (DeliveryStatus.DELIVERED, 200)
    assert delivery.log[0]["milliseconds"] < 5000


@pytest.mark.parametrize("status", [302, 308, 500])
def test_neither_a_redirect_nor_a_fault_is_taken_for_an_answer(
    receiver: Receiver, status: int
) -> None:
    receiver.status, receiver.headers = status, {"location": f"{receiver.url}/elsewhere"}
    delivery = make_delivery(make_channel(receiver.url))
    send_due(NOON)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.log[0]["status"]) == (DeliveryStatus.PENDING, status)
    assert receiver.paths == ["/hook"]


def test_a_channel_given_to_another_team_is_sent_nothing_of_the_first(receiver: Receiver) -> None:
    first = make_team()
    channel = make_channel(receiver.url, team=first)
    delivery = make_delivery(channel, team_id=first.pk)
    Channel.objects.update(team=make_team())
    send_due(NOON)
    delivery.refresh_from_db()
    assert delivery.log[0]["fault"] == ANOTHERS
    assert receiver.received == []


def test_a_chat_without_an_address_says_so(receiver: Receiver) -> None:
    delivery = make_delivery(make_chat(receiver))
    Channel.objects.update(address=None)
    send_due(NOON)
    delivery.refresh_from_db()
    assert delivery.log[0]["fault"] == NOWHERE


def test_one_odd_message_does_not_hold_up_the_others(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    odd = make_delivery(make_chat(receiver))
    Delivery.objects.update(body={})
    good = make_delivery(make_channel(receiver.url))
    send_due(NOON)
    odd.refresh_from_db()
    good.refresh_from_db()
    assert good.status == DeliveryStatus.DELIVERED
    assert str(odd.pk) in odd.log[0]["fault"]
    assert f"Delivery {odd.pk}" in caplog.text


def test_what_becomes_of_a_chats_message_never_names_its_address(
    caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    with receiving() as closed:
        channel = make_chat(closed)
    caplog.set_level("DEBUG")
    send_test(channel, NOON)
    make_delivery(channel, NOON)
    send_due(NOON)
    assert "127.0.0.1" in Delivery.objects.get(tries=1).log[0]["fault"]
    assert "token" not in caplog.text + str(list(Delivery.objects.values_list("log", "body")))


def test_no_secret_outlives_its_channel_though_it_goes_with_its_team() -> None:
    team, shared, own, address = make_team(), make_secret(), make_secret(), make_secret()
    make_channel(team=team, secret=own, address=address)
    make_channel(team=team, name="other", secret=shared)
    kept = make_channel(name="kept", secret=shared)

    team.delete()

    assert list(Channel.objects.all()) == [kept]
    mine = Secret.objects.filter(pk__in=[shared.pk, own.pk, address.pk])
    assert list(mine) == [shared]


@pytest.mark.parametrize("days", [1, 30])
def test_what_was_made_before_the_clock_was_set_back_is_sent_at_once(
    receiver: Receiver, days: int
) -> None:
    make_delivery(make_channel(receiver.url), NOON + timedelta(days=days))
    assert not none_due(NOON)
    assert len(send_due(NOON)) == 1
    assert none_due(NOON)
    assert send_due(NOON) == []


@pytest.mark.parametrize(
    ("tries", "longest"), [(1, LONGEST_PAUSE), (4, BACKOFF[3]), (7, LONGEST_PAUSE)]
)
def test_nothing_waits_longer_than_it_could_have_been_told_to(
    tries: int, longest: timedelta
) -> None:
    """Whatever is planned for later was planned before the clock was set back."""
    delivery = make_delivery(make_channel(), NOON - SECOND)
    row = Delivery.objects.filter(pk=delivery.pk)
    row.update(tries=tries, next_at=NOON + longest)
    assert none_due(NOON)
    assert claim_due(NOON) == []
    row.update(next_at=NOON + longest + SECOND)
    assert not none_due(NOON)
    assert len(claim_due(NOON)) == 1
    assert none_due(NOON)
