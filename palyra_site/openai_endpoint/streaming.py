"""A streamed chat completion: chunks as they come, an end that cannot be mistaken, and no work for
a client that has gone away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import orjson

from governance.calls import CallRequest, open_stream
from governance.errors import CallError
from palyra_site.openai_endpoint import answers
from palyra_site.openai_endpoint.replies import KEEP_ALIVE_SECONDS, Reply
from palyra_site.openai_endpoint.requests import ClientDisconnected, Request

logger = logging.getLogger(__name__)


async def respond(call: CallRequest, request: Request, reply: Reply) -> None:
    """Make the call and pass its chunks on.

    What is refused or fails before the first chunk is raised before anything was sent, so that it
    is answered with a status of its own. Raises `ClientDisconnected` as soon as the client goes
    away: the call is closed, and with it the connection to the provider.
    """
    await _attended(_pass_on(call, request, reply), request, reply)


async def _pass_on(call: CallRequest, request: Request, reply: Reply) -> None:
    stream = await open_stream(call, runtime=request.runtime)
    try:
        chunks = aiter(stream)
        first = await anext(chunks, None)
        await reply.begin(answers.headers_of(stream))
        if first is not None:
            await reply.event(orjson.dumps(first))
            async for chunk in chunks:
                await reply.event(orjson.dumps(chunk))
        await reply.done(*answers.comments_of(stream))
    finally:
        await stream.aclose()


async def _attended(work: Coroutine[Any, Any, None], request: Request, reply: Reply) -> None:
    """Do `work` for as long as its client is there, and keep the connection alive meanwhile."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(request.gone())
    wait = KEEP_ALIVE_SECONDS
    try:
        while not working.done():
            if leaving.done():
                raise ClientDisconnected
            await asyncio.wait(
                (working, leaving), timeout=wait, return_when=asyncio.FIRST_COMPLETED
            )
            if not working.done() and not leaving.done():
                wait = await reply.keep_alive()
    except (ClientDisconnected, asyncio.CancelledError):
        await _called_off(working)
        raise
    finally:
        leaving.cancel()
    working.result()


async def _called_off(working: asyncio.Task[None]) -> None:
    """Cancel and wait until the call is closed; nobody else would hear of what failed in that."""
    working.cancel()
    (error,) = await asyncio.gather(working, return_exceptions=True)
    if isinstance(error, Exception) and not isinstance(error, CallError | ClientDisconnected):
        logger.error("Closing a streamed call failed.", exc_info=error)
