"""Deliveries: each claimed by one process, sent, logged, tried again until taken or given up.

A claim is a conditional update that makes the delivery due again later: what a process that crashed
had claimed is sent by another, so a receiver may be sent a message twice, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, When, Window
from django.db.models.functions import RowNumber

from governance.alerts import formats, signing
from governance.models import (
    Alert,
    Channel,
    ChannelFormat,
    ChannelKind,
    Delivery,
    DeliveryStatus,
)
from providers.failures import retry_after
from providers.models import Secret
from providers.references import ReferenceUnreadable, resolve
from providers.transport import (
    InboundAnswer,
    Limits,
    OutboundRequest,
    Transport,
    TransportFailed,
)
from providers.vault import VaultError, decrypt

logger = logging.getLogger(__name__)
TEST = "channel.test"
BACKOFF = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)
AT_ONCE = 64
# So that one receiver that is slow, or has much to take, does not hold up the others; chats refuse
# more than about one message a second.
AT_ONCE_EACH, AT_ONCE_CHAT = 16, 1
CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 15.0
CLAIMED_FOR = timedelta(minutes=2)
NOT_FOUND, GONE, TOO_MANY = 404, 410, 429
LONGEST_PAUSE = timedelta(hours=1)
NO_SERVER = "No mail server is set up: see PALYRA_EMAIL_URL."
UNSIGNED = "The channel has no secret to sign with."
NOWHERE = "The channel has no address to send to."
ANOTHERS = "The channel is another team's now."
UNDER_WAY = "It is on its way already."
DISABLED = "The channel is disabled. Enable it first: nothing is sent to it."


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """A delivery that this process claimed, with all it takes to send it; never printed, for it
    carries the key, or a chat's address. With `fault` it cannot be sent.
    """

    delivery: Delivery
    channel: Channel
    secret: str
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one try: a status, or the `fault` that kept an answer away.

    `handed_over` says that whoever gives no status has it; `pause` is what the receiver asks for
    at least before the next try.
    """

    status: int | None = None
    fault: str = ""
    milliseconds: int = 0
    handed_over: bool = False
    pause: timedelta = timedelta()

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        answered_well = self.status is not None and self.status // 100 == 2  # noqa: PLR2004 - 2xx
        return self.handed_over or answered_well


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


def claim_due(now: datetime, limit: int = AT_ONCE) -> list[Outgoing]:
    """Deliveries that are due, each in one process only; those of a muted alert wait.

    Of each channel only the first few, so that none has to wait for all of another's.
    """
    chat = Q(channel__kind=ChannelKind.WEBHOOK) & ~Q(channel__format=ChannelFormat.STANDARD)
    first = (
        _due(now)
        .annotate(
            place=Window(RowNumber(), partition_by=["channel"], order_by=["next_at", "pk"]),
            most=Case(When(chat, then=AT_ONCE_CHAT), default=AT_ONCE_EACH),
        )
        .filter(place__lte=F("most"))
    )
    # Bodies are read of those alone that are claimed.
    chosen = list(first.order_by("next_at", "pk").values_list("pk", flat=True)[:limit])
    rows = Delivery.objects.filter(pk__in=chosen).order_by("next_at", "pk")
    whole = rows.select_related("channel__secret", "channel__address")
    return [outgoing(row) for row in whole if _claim(row, now)]


def _due(now: datetime) -> QuerySet[Delivery]:
    muted = Q(alert__isnull=False, alert__muted_until__gt=now)
    return Delivery.objects.filter(
        ~muted, status=DeliveryStatus.PENDING, next_at__lte=now, channel__enabled=True
    )


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


async def send_all(
    claimed: Iterable[Outgoing], transport: Transport, now: datetime
) -> list[tuple[Outgoing, Result]]:
    """Send them together; touches no database."""

    async def one(message: Outgoing) -> tuple[Outgoing, Result]:
        return message, await _send(message, transport, now)

    return list(await asyncio.gather(*(one(message) for message in claimed)))


async def _send(message: Outgoing, transport: Transport, now: datetime) -> Result:
    if message.fault:
        return Result(fault=message.fault)
    began = time.monotonic()
    try:
        result = await _handed_over(message, transport, now)
    except (TransportFailed, signing.UnusableSecret) as error:
        result = Result(fault=str(error))
    except Exception:
        # Whatever is odd about one message, the others go on.
        logger.exception(
            "Delivery %s could not be sent by a fault of Palyra's", message.delivery.pk
        )
        result = Result(fault=f"Palyra failed; its log names delivery {message.delivery.pk}.")
    return replace(result, milliseconds=round((time.monotonic() - began) * 1000))


async def _handed_over(message: Outgoing, transport: Transport, now: datetime) -> Result:
    kind = message.channel.kind
    if kind == ChannelKind.CONSOLE:
        return Result(handed_over=True)
    if kind == ChannelKind.EMAIL:
        fault = await asyncio.to_thread(_mail, message)
        return Result(fault=fault, handed_over=not fault)
    answer = await transport.send(_request(message, now), _limits(message.channel))
    return Result(status=answer.status, pause=_pause(answer, now))


def _pause(answer: InboundAnswer, now: datetime) -> timedelta:
    """What a receiver that has too much to take asks for, within reason."""
    asked = retry_after(answer.headers, now) if answer.status == TOO_MANY else None
    return min(timedelta(seconds=asked or 0), LONGEST_PAUSE)


def _mail(message: Outgoing) -> str:
    """Hand it to the mail server; what went wrong, or nothing."""
    subject, text = formats.mail(message.delivery.body)
    try:
        send_mail(subject, text, None, message.channel.recipients)
    except (OSError, SMTPException) as error:
        return f"The mail server did not take it ({type(error).__name__})."
    return ""


def _limits(channel: Channel) -> Limits:
    return Limits(
        connect=CONNECT_SECONDS,
        total=TOTAL_SECONDS,
        allow_private=channel.allow_private_addresses,
    )


def _request(message: Outgoing, now: datetime) -> OutboundRequest:
    channel, delivery = message.channel, message.delivery
    headers = {"content-type": "application/json"}
    if channel.is_chat:
        body = orjson.dumps(formats.chat(channel.format, delivery.body))
        return OutboundRequest(message.secret, headers, body)
    body = orjson.dumps(delivery.body)
    signed = signing.headers(message.secret, str(delivery.pk), int(now.timestamp()), body)
    return OutboundRequest(channel.url, headers | signed, body)


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
