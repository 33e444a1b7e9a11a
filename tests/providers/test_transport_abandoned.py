"""Whoever stops reading a stream ends the host's work within a second."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from providers.sse import ServerSentEvent
from providers.transport import InboundStream, Transport, TransportFailed
from tests.providers.sending import IMPATIENCE, LIMITS, certificate, request_to
from tests.providers.wire import Exchange, serving

ONE = ServerSentEvent("", "one")
WIRE_ONE = b"data: one\n\n"


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("read_first", [False, True])
async def test_the_host_sees_it(tmp_path: Path, secure: bool, read_first: bool) -> None:
    gone = asyncio.Event()

    async def go_on(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(WIRE_ONE)
        await exchange.gone()
        gone.set()

    context, authority = certificate(tmp_path)
    transport = Transport(ca_file=str(authority))
    async with serving(go_on, context if secure else None) as wire:
        address = f"{'https' if secure else 'http'}://127.0.0.1:{wire.port}/v1"
        stream = await transport.open(request_to(address), LIMITS)
        if read_first:
            assert await anext(stream.events()) == ONE
        await stream.aclose()
        async with asyncio.timeout(1):
            await gone.wait()
        await stream.aclose()
    await transport.close()


async def test_while_the_host_floods(transport: Transport) -> None:
    gone = asyncio.Event()

    async def flood(exchange: Exchange) -> None:
        try:
            await exchange.begin()
            while True:
                await exchange.piece(WIRE_ONE * 1000)
        finally:
            gone.set()

    async with serving(flood) as wire:
        stream = await transport.open(request_to(wire.base_url), LIMITS)
        assert await anext(stream.events()) == ONE
        await stream.aclose()
        async with asyncio.timeout(1):
            await gone.wait()


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_by_another_task_while_one_waits(transport: Transport, how: str) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def go_on(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(WIRE_ONE)
        await exchange.gone()
        gone.set()

    async def read(stream: InboundStream) -> None:
        try:
            async for _ in stream.events():
                begun.set()
        finally:
            await stream.aclose()

    async with serving(go_on) as wire:
        stream = await transport.open(request_to(wire.base_url), LIMITS)
        reader = asyncio.create_task(read(stream))
        await begun.wait()
        if how == "closed":
            await stream.aclose()
            with pytest.raises(TransportFailed):
                await reader
        else:
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        async with asyncio.timeout(1):
            await gone.wait()


async def test_before_its_head(transport: Transport) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def think(exchange: Exchange) -> None:
        arrived.set()
        await exchange.gone()
        gone.set()

    async with serving(think) as wire:
        opening = asyncio.create_task(transport.open(request_to(wire.base_url), LIMITS))
        await arrived.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        async with asyncio.timeout(1):
            await gone.wait()


async def test_a_failure_ends_it_as_well(transport: Transport) -> None:
    gone = asyncio.Event()

    async def say_nothing(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.gone()
        gone.set()

    async with serving(say_nothing) as wire:
        limits = replace(LIMITS, first_byte=IMPATIENCE)
        stream = await transport.open(request_to(wire.base_url), limits)
        with pytest.raises(TransportFailed):
            await anext(stream.events())
        async with asyncio.timeout(1):
            await gone.wait()
