"""The chain: request id, key, and then the one function a path stands for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from django.utils import timezone

from governance.errors import CallError
from governance.runtime import Runtime
from palyra_site.openai_endpoint import answers, handlers
from palyra_site.openai_endpoint.answers import EndpointError, refusal
from palyra_site.openai_endpoint.authentication import authenticate
from palyra_site.openai_endpoint.replies import Reply
from palyra_site.openai_endpoint.requests import ClientDisconnected, Receive, Request, Scope, Send
from providers.identifiers import new_id

logger = logging.getLogger(__name__)


class OpenAIEndpoint:
    """The ASGI application for everything below `/v1`."""

    def __init__(self, runtime: Callable[[], Runtime], *, body_limit: int) -> None:
        self._runtime = runtime
        self._body_limit = body_limit
        self._under_way = 0
        self._idle = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Whatever goes wrong is answered in OpenAI's error shape."""
        self._under_way += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def finish(self, patience: float) -> None:
        """Wait until no request is under way, but no longer than `patience` seconds.

        A server that stops breaks requests off and does not wait for their end: their calls are
        yet to be closed and settled.
        """
        self._idle.clear()
        if not self._under_way:
            return
        try:
            await asyncio.wait_for(self._idle.wait(), patience)
        except TimeoutError:
            logger.error("%d requests have not ended.", self._under_way)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(new_id())
        reply = Reply(send, request_id)
        try:
            try:
                await self._respond(scope, receive, reply)
            except EndpointError as error:
                await reply.fail(error.answer)
            except CallError as error:
                await reply.fail(answers.of_error(error))
            except asyncio.CancelledError:
                await reply.fail(_stopping())
            except ClientDisconnected:
                raise
            except Exception:
                logger.exception("Request %s failed.", request_id)
                await reply.fail(_internal_error(request_id))
        except ClientDisconnected:
            return

    async def _respond(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        runtime = self._runtime()
        headers = dict(scope["headers"])
        path = scope["path"]
        handler = handlers.find(path, scope["method"])
        key = await authenticate(headers.get(b"authorization"), runtime, timezone.now())
        await handler(Request(path, headers, key, runtime, receive, self._body_limit), reply)


def _stopping() -> answers.Answer:
    # Only a server that stops cancels. Its answer must not be one that clients retry: the provider
    # may have done the work, and the call is settled as if it had.
    return refusal(
        503,
        "Palyra is stopping and broke this call off. The provider may bill what it has done, so "
        "that is charged.",
        code="shutting_down",
        kind="server_error",
    )


def _internal_error(request_id: str) -> answers.Answer:
    return refusal(
        500,
        f"Palyra failed on this request. Its operator finds it as {request_id} in the log.",
        code="internal_error",
        kind="server_error",
    )
