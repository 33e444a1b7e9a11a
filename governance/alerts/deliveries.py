"""Deliveries: each claimed by one process, logged, tried again until taken or given up.

A claim is a conditional update that makes the delivery due again later: what a process that crashed
had claimed is sent by another, so a receiver may be sent a message twice, with the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from governance.alerts import mailing
from governance.alerts.sending import LONGEST_PAUSE, Outgoing, Result, line_of
from governance.models import (
    Alert,
    Channel,
    ChannelKind,
    Delivery,
    DeliveryStatus,
)
from providers.models import Secret
from providers.references import ReferenceUnreadable, resolve
from providers.vault import VaultError, decrypt

TEST = "channel.test"
BACKOFF = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)
AT_ONCE = 128
# So that one receiver that is slow, or has much to take, does not hold up the others; chats refuse
# more than about one message a second, and mail servers many at once.
AT_ONCE_EACH, AT_ONCE_CHAT, AT_ONCE_MAIL = 16, 1, mailing.AT_ONCE
SHARE = 8
CLAIMED_FOR = timedelta(minutes=2)
EVER = datetime(1970, 1, 1, tzinfo=UTC)
NOT_FOUND, GONE = 404, 410
NO_SERVER = "No mail server is set up: see PALYRA_EMAIL_URL."
UNSIGNED = "The channel has no secret to sign with."
NOWHERE = "The channel has no address to send to."
ANOTHERS = "The channel is another team's now."
# These name no host.
OWN_FAULTS = (NO_SERVER, UNSIGNED, NOWHERE, ANOTHERS)
UNREACHED = "It could not be reached."
UNDER_WAY = "It is on its way already."
DISABLED = "The channel is disabled. Enable it first: nothing is sent to it."


def new_delivery(
    channel: Channel,
    event: str,
    body: dict[str, Any],
    now: datetime,
    *,
    alert: Alert | None = None,
    team_id: int | None = None,
    run_id: UUID | None = None,
) -> Delivery:
    """The message of `event` to `channel`, not stored yet. What is for the console is there."""
    shown = channel.kind == ChannelKind.CONSOLE
    return Delivery(
        channel=channel,
        event=event,
        body=body,
        alert=alert,
        team_id=team_id,
        run_id=run_id,
        status=DeliveryStatus.DELIVERED if shown else DeliveryStatus.PENDING,
        next_at=now,
        created_at=now,
        delivered_at=now if shown else None,
    )


def none_due(now: datetime) -> bool:
    """Whether nothing is due."""
    return not _due(now).exists()


def claim_due(now: datetime, under_way: Collection[Outgoing] = ()) -> list[Outgoing]:
    """Deliveries that are due, each in one process only; those of a muted alert wait.

    Of each line only as many as there are places for it, beside those that are `under_way` in this
    process already, which are not claimed anew. So none has to wait for all of another's.
    """
    free = AT_ONCE - len(under_way)
    if free <= 0:
        return []
    # Bodies are read of those alone that are claimed.
    rows = Delivery.objects.filter(pk__in=_chosen(now, under_way, free)).order_by("next_at", "pk")
    whole = rows.select_related("channel__secret", "channel__address")
    return [outgoing(row) for row in whole if _claim(row, now)]


def _chosen(now: datetime, under_way: Collection[Outgoing], free: int) -> list[UUID]:
    """At most as many as are `free`: the first of each channel before any channel's second, those
    under way counted, so that of a line that many share none has all the places."""
    # Whoever is slow is given fewer places the fewer there are, and never the last ones.
    fair = max(1, min(AT_ONCE_EACH, free // SHARE))
    channels = {message.channel.pk: message.channel for message in under_way}
    of_channel = Counter(message.channel.pk for message in under_way)
    of_line = Counter(line_of(message.channel) for message in under_way)
    full = [one for one in channels.values() if of_line[line_of(one)] >= _most(one, fair)]
    due = _due(now).exclude(pk__in=[message.delivery.pk for message in under_way])
    rows = list(_first_of_each_channel(_without(due, full), fair))
    rows.sort(key=lambda row: (row.place + of_channel[row.channel_id], row.next_at, row.pk))
    chosen = []
    for row in rows:
        line = line_of(row.channel)
        if of_line[line] < _most(row.channel, fair):
            of_line[line] += 1
            chosen.append(row.pk)
    return chosen[:free]


def _most(channel: Channel, fair: int) -> int:
    """How many places the channel's line has."""
    if channel.kind == ChannelKind.EMAIL:
        return min(fair, AT_ONCE_MAIL)
    return AT_ONCE_CHAT if channel.is_chat else fair


def _without(due: QuerySet[Delivery], full: Collection[Channel]) -> QuerySet[Delivery]:
    """Without those of lines that are full: they may be very many, and are read for nothing."""
    if any(one.kind == ChannelKind.EMAIL for one in full):
        due = due.exclude(channel__kind=ChannelKind.EMAIL)
    return due.exclude(channel__in=[one.pk for one in full])


def _first_of_each_channel(due: QuerySet[Delivery], fair: int) -> QuerySet[Any]:
    place = Window(RowNumber(), partition_by=["channel"], order_by=["next_at", "pk"])
    first = due.annotate(place=place).filter(place__lte=fair).select_related("channel")
    return first.only("next_at", "channel__kind", "channel__format")


def _due(now: datetime) -> QuerySet[Delivery]:
    muted = Q(alert__isnull=False, alert__muted_until__gt=now)
    return Delivery.objects.filter(
        ~muted,
        Q(next_at__lte=now) | _of_another_clock(now),
        status=DeliveryStatus.PENDING,
        # So that SQLite reads the index of those that are pending, not all that was ever sent.
        next_at__gt=EVER,
        channel__enabled=True,
    )


def _of_another_clock(now: datetime) -> Q:
    """Those that the clock was set back under: made later than it is, or to wait for longer than
    any wait. Of others nobody can say, and they wait no longer than they might have to anyway."""
    longer = {n: wait for n, wait in enumerate(BACKOFF, 1) if wait > LONGEST_PAUSE}
    found = Q(created_at__gt=now, tries=0)
    found |= Q(next_at__gt=now + LONGEST_PAUSE) & ~Q(tries__in=longer)
    for tries, wait in longer.items():
        found |= Q(tries=tries, next_at__gt=now + wait)
    return found


def _claim(row: Delivery, now: datetime) -> bool:
    mine = Delivery.objects.filter(
        pk=row.pk, status=DeliveryStatus.PENDING, tries=row.tries, next_at=row.next_at
    )
    won = mine.update(tries=F("tries") + 1, next_at=now + CLAIMED_FOR)
    row.tries += 1
    return bool(won)


def outgoing(delivery: Delivery) -> Outgoing:
    """`delivery` with its channel's secret, read where it is kept."""
    channel = delivery.channel
    if None not in {channel.team_id, delivery.team_id} and channel.team_id != delivery.team_id:
        return Outgoing(delivery, channel, "", ANOTHERS)
    if channel.kind == ChannelKind.CONSOLE:
        return Outgoing(delivery, channel, "")
    if channel.kind == ChannelKind.EMAIL:
        return Outgoing(delivery, channel, "", "" if settings.PALYRA_EMAIL else NO_SERVER)
    kept, missing = (channel.address, NOWHERE) if channel.is_chat else (channel.secret, UNSIGNED)
    if kept is None:
        return Outgoing(delivery, channel, "", missing)
    try:
        return Outgoing(delivery, channel, _text(kept))
    except (VaultError, ReferenceUnreadable) as error:
        return Outgoing(delivery, channel, "", str(error))


def _text(secret: Secret) -> str:
    return resolve(secret.reference) if secret.reference else decrypt(secret.ciphertext).text


def record(results: Sequence[tuple[Outgoing, Result]], now: datetime) -> None:
    """Keep what came of each try, unless the delivery was claimed anew meanwhile."""
    for message, result in results:
        with transaction.atomic():
            _record(message, result, now)


def _record(message: Outgoing, result: Result, now: datetime) -> None:
    row = message.delivery
    gone = _is_gone(message.channel, result)
    tried: dict[str, Any] = {
        "at": now.isoformat(),
        "status": result.status,
        "fault": result.fault,
        "milliseconds": result.milliseconds,
    }
    mine = Delivery.objects.filter(pk=row.pk, status=DeliveryStatus.PENDING, tries=row.tries)
    mine.update(log=[*row.log, tried], **_standing(row, result, now, gone=gone))
    if gone:
        Channel.objects.filter(pk=message.channel.pk).update(enabled=False)


def _is_gone(channel: Channel, result: Result) -> bool:
    """Whether nobody will ever take what is sent there; a chat says so of a webhook it deleted."""
    return result.status == GONE or (channel.is_chat and result.status == NOT_FOUND)


def _standing(row: Delivery, result: Result, now: datetime, *, gone: bool) -> dict[str, Any]:
    if result.taken:
        return {"status": DeliveryStatus.DELIVERED, "delivered_at": now}
    if gone or row.tries > len(BACKOFF):
        return {"status": DeliveryStatus.FAILED}
    return {"next_at": now + max(BACKOFF[row.tries - 1], result.pause)}


def last_try(delivery: Delivery) -> str:
    """What kept the receiver from taking it at the last try, without where that is; empty if
    nothing did, or nothing was tried."""
    tried = delivery.log[-1] if delivery.log else None
    if tried is None or delivery.status == DeliveryStatus.DELIVERED:
        return ""
    if tried["status"]:
        return f"It answered {tried['status']}."
    fault: str = tried["fault"]
    if fault in OWN_FAULTS or not fault:
        return fault
    return UNREACHED


def redeliver(delivery: Delivery, now: datetime) -> None:
    """Send it again, with the same id, from the first try on; the log goes on.

    Raises `ValidationError` if its channel is disabled, or it is yet to be sent anyway.
    """
    if not delivery.channel.enabled:
        raise ValidationError(DISABLED)
    ended = Delivery.objects.filter(pk=delivery.pk).exclude(status=DeliveryStatus.PENDING)
    if not ended.update(status=DeliveryStatus.PENDING, tries=0, next_at=now, delivered_at=None):
        raise ValidationError(UNDER_WAY)


def send_test(channel: Channel, now: datetime) -> Delivery:
    """A message that says it is a test, sent like any other."""
    data = {"channel": channel.name, "title": "This is a test of Palyra's messages."}
    body = {"type": TEST, "timestamp": now.isoformat(), "data": data}
    delivery = new_delivery(channel, TEST, body, now, team_id=channel.team_id)
    delivery.save(force_insert=True)
    return delivery
