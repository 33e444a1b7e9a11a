"""Sending a message: over a connection or by mail, and what came of it. Touches no database.

Messages are sent together, and none waits for another's receiver.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import orjson

from governance.alerts import formats, mailing, signing
from governance.models import Channel, ChannelKind, Delivery
from providers.failures import retry_after
from providers.transport import (
    InboundStream,
    Limits,
    OutboundRequest,
    Transport,
    TransportFailed,
)

logger = logging.getLogger(__name__)
CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 15.0
# What is read of an answer after its head, so that its connection can be used again.
BODY_SECONDS = 1.0
# Those that end so soon after another are looked at with it.
TOGETHER_SECONDS = 0.05
TOO_MANY = 429
LONGEST_PAUSE = timedelta(hours=1)
MAIL_PAUSE = timedelta(minutes=5)


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


class Underway:
    """The messages that one event loop is sending, and those that were sent, each until it is
    forgotten: what came of it is not lost if it cannot be recorded. Use it in that loop's thread.
    """

    def __init__(self) -> None:
        self._sending: dict[UUID, tuple[Outgoing, asyncio.Task[Result]]] = {}

    def __len__(self) -> int:
        return len(self._sending)

    def messages(self) -> list[Outgoing]:
        """All of them."""
        return [message for message, _ in self._sending.values()]

    def ended(self) -> list[tuple[Outgoing, Result]]:
        """Those that were sent, and what came of each."""
        return [
            (message, task.result())
            for message, task in self._sending.values()
            if task.done() and not task.cancelled()
        ]

    def forget(self, message: Outgoing) -> None:
        """What came of it needs to be known no longer."""
        del self._sending[message.delivery.pk]

    async def go_on(
        self, claimed: Iterable[Outgoing], transport: Transport, now: datetime, patience: float
    ) -> None:
        """Begin to send those that were `claimed`, and wait until one is sent, for `patience`
        seconds at most. The others go on."""
        for message in claimed:
            task = asyncio.ensure_future(send(message, transport, now))
            self._sending[message.delivery.pk] = (message, task)
        if self._sending:
            first = asyncio.FIRST_COMPLETED
            tasks = [task for _, task in self._sending.values()]
            _, more = await asyncio.wait(tasks, timeout=patience, return_when=first)
            if more:
                await asyncio.wait(more, timeout=TOGETHER_SECONDS)


def line_of(channel: Channel) -> int:
    """Whose messages wait for each other: each channel's, but all mail goes to one server."""
    return 0 if channel.kind == ChannelKind.EMAIL else channel.pk


async def send(message: Outgoing, transport: Transport, now: datetime) -> Result:
    """Send it; whatever goes wrong is a result."""
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
        return await _mailed(message)
    answer = await transport.open(_request(message, now), _limits(message.channel))
    try:
        await _read(answer)
    finally:
        await answer.aclose()
    return Result(status=answer.status, pause=_pause(answer, now))


async def _read(answer: InboundStream) -> None:
    """Read what follows the head, which says all that matters: a receiver that dawdles over the
    rest, or breaks it off, has the message all the same."""
    with suppress(TransportFailed, TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            await answer.read()


def _pause(answer: InboundStream, now: datetime) -> timedelta:
    """What a receiver that has too much to take asks for, within reason."""
    asked = retry_after(answer.headers, now) if answer.status == TOO_MANY else None
    return min(timedelta(seconds=asked or 0), LONGEST_PAUSE)


async def _mailed(message: Outgoing) -> Result:
    subject, text = formats.mail(message.delivery.body)
    try:
        fault = await mailing.hand_over(subject, text, message.channel.recipients)
    except TimeoutError as error:
        # It may have it all the same, or be overrun.
        return Result(fault=str(error), pause=MAIL_PAUSE)
    return Result(fault=fault, handed_over=not fault)


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
