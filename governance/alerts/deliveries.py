"""Deliveries: each claimed by one process, sent, logged, tried again until taken or given up.

A claim is a conditional update that makes the delivery due again later: what a process that crashed
had claimed is sent by another, so a receiver may be sent a message twice, with the same id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any

import orjson
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import F, Q, QuerySet

from governance.alerts import signing
from governance.models import Channel, ChannelKind, Delivery, DeliveryStatus
from providers.models import Secret
from providers.references import ReferenceUnreadable, resolve
from providers.transport import Limits, OutboundRequest, Transport, TransportFailed
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
AT_ONCE = 16
CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 15.0
CLAIMED_FOR = timedelta(minutes=2)
GONE = 410
NO_SERVER = "No mail server is set up: see PALYRA_EMAIL_URL."
UNSIGNED = "The channel has no secret to sign with."


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """A delivery that this process claimed, with all it takes to send it; never printed, for it
    carries the key. With `fault` it cannot be sent.
    """

    delivery: Delivery
    channel: Channel
    secret: str
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one try: a status, or the `fault` that kept an answer away."""

    status: int | None = None
    fault: str = ""
    milliseconds: int = 0
    mailed: bool = False

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        answered_well = self.status is not None and self.status // 100 == 2  # noqa: PLR2004 - 2xx
        return self.mailed or answered_well


def none_due(now: datetime) -> bool:
    """Whether nothing is due."""
    return not _due(now).exists()


def claim_due(now: datetime, limit: int = AT_ONCE) -> list[Outgoing]:
    """Deliveries that are due, each in one process only; those of a muted alert wait."""
    rows = _due(now).select_related("channel__secret").order_by("next_at")[:limit]
    return [outgoing(row) for row in rows if _claim(row, now)]


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
    if channel.kind == ChannelKind.EMAIL:
        return Outgoing(delivery, channel, "", "" if settings.PALYRA_EMAIL else NO_SERVER)
    if channel.secret is None:
        return Outgoing(delivery, channel, "", UNSIGNED)
    try:
        return Outgoing(delivery, channel, _text(channel.secret))
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
    if message.channel.kind == ChannelKind.EMAIL:
        fault = await asyncio.to_thread(_mail, message)
        return Result(fault=fault, mailed=not fault, milliseconds=_since(began))
    try:
        request = _request(message, now)
        answer = await transport.send(request, _limits(message.channel))
    except (TransportFailed, ValueError) as error:
        return Result(fault=str(error), milliseconds=_since(began))
    return Result(status=answer.status, milliseconds=_since(began))


def _mail(message: Outgoing) -> str:
    """Hand it to the mail server; what went wrong, or nothing."""
    data = message.delivery.body["data"]
    # A title may hold what callers named: a subject is one line.
    subject = " ".join(f"Palyra: {data['title']}".split())
    try:
        send_mail(subject, data.get("explanation", ""), None, message.channel.recipients)
    except (OSError, SMTPException) as error:
        return f"The mail server did not take it ({type(error).__name__})."
    return ""


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _limits(channel: Channel) -> Limits:
    return Limits(
        connect=CONNECT_SECONDS,
        total=TOTAL_SECONDS,
        allow_private=channel.allow_private_addresses,
    )


def _request(message: Outgoing, now: datetime) -> OutboundRequest:
    body = orjson.dumps(message.delivery.body)
    signed = signing.headers(message.secret, str(message.delivery.pk), int(now.timestamp()), body)
    headers = {"content-type": "application/json", **signed}
    return OutboundRequest(message.channel.url, headers, body)


def record(results: Sequence[tuple[Outgoing, Result]], now: datetime) -> None:
    """Keep what came of each try, unless the delivery was claimed anew meanwhile."""
    for message, result in results:
        with transaction.atomic():
            _record(message, result, now)


def _record(message: Outgoing, result: Result, now: datetime) -> None:
    row = message.delivery
    tried: dict[str, Any] = {
        "at": now.isoformat(),
        "status": result.status,
        "fault": result.fault,
        "milliseconds": result.milliseconds,
    }
    mine = Delivery.objects.filter(pk=row.pk, status=DeliveryStatus.PENDING, tries=row.tries)
    mine.update(log=[*row.log, tried], **_standing(row, result, now))
    if result.status == GONE:
        Channel.objects.filter(pk=message.channel.pk).update(enabled=False)


def _standing(row: Delivery, result: Result, now: datetime) -> dict[str, Any]:
    if result.taken:
        return {"status": DeliveryStatus.DELIVERED, "delivered_at": now}
    if result.status == GONE or row.tries > len(BACKOFF):
        return {"status": DeliveryStatus.FAILED}
    return {"next_at": now + BACKOFF[row.tries - 1]}


def redeliver(delivery: Delivery, now: datetime) -> None:
    """Send it again, with the same id, from the first try on; the log goes on."""
    Delivery.objects.filter(pk=delivery.pk).update(
        status=DeliveryStatus.PENDING, tries=0, next_at=now, delivered_at=None
    )


def send_test(channel: Channel, now: datetime) -> Delivery:
    """A message that says it is a test, sent like any other."""
    data = {"channel": channel.name, "title": "This is a test of Palyra's alerts."}
    body = {"type": TEST, "timestamp": now.isoformat(), "data": data}
    return Delivery.objects.create(channel=channel, event=TEST, body=body, next_at=now)
