"""The chain: request id, size limit, key, and then the one function a path stands for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import orjson
from django.utils import timezone

from governance.calls import Caller, CallRequest, execute
from governance.errors import CallError, InvalidRequest
from governance.models import Surface
from governance.runtime import Runtime
from governance.snapshot import KeyEntry
from palyra_site.openai_endpoint import answers
from palyra_site.openai_endpoint.answers import Answer, EndpointError, refusal
from palyra_site.openai_endpoint.authentication import authenticate
from providers.identifiers import new_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger(__name__)
MODELS = "/v1/models"
CHAT = "/v1/chat/completions"


class ClientDisconnected(Exception):
    """The client went away before its request was complete."""


class OpenAIEndpoint:
    """The ASGI application for everything below `/v1`."""

    def __init__(self, runtime: Callable[[], Runtime], *, body_limit: int) -> None:
        self._runtime = runtime
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Whatever goes wrong is answered in OpenAI's error shape."""
        request_id = str(new_id())
        try:
            answer = await self._answer(scope, receive)
        except ClientDisconnected:
            return
        except EndpointError as error:
            answer = error.answer
        except CallError as error:
            answer = answers.of_error(error)
        except asyncio.CancelledError:
            # Only a server that stops cancels. Its answer must not be one that clients retry: the
            # provider may have done the work, and the call is settled as if it had.
            answer = refusal(
                503,
                "Palyra is stopping and broke this call off. The provider may bill it, so its "
                "expected cost is charged.",
                code="shutting_down",
                kind="server_error",
            )
        except Exception:
            logger.exception("Request %s failed.", request_id)
            answer = refusal(
                500,
                f"Palyra failed on this request. Its operator finds it as {request_id} in the log.",
                code="internal_error",
                kind="server_error",
            )
        await _send(answer, request_id, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        runtime = self._runtime()
        headers = dict(scope["headers"])
        handler = _route(scope["path"], scope["method"])
        key = await authenticate(headers.get(b"authorization"), runtime, timezone.now())
        body = await self._read(headers, receive)
        return await handler(scope["path"], key, body, runtime)

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._body_limit:
            raise self._too_large()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            body += message.get("body", b"")
            if len(body) > self._body_limit:
                raise self._too_large()
            if not message.get("more_body"):
                return bytes(body)

    def _too_large(self) -> EndpointError:
        return EndpointError(
            refusal(
                413,
                f"The request is larger than {self._body_limit:,} bytes.",
                code="request_too_large",
            )
        )


Handler = Callable[[str, KeyEntry, bytes, Runtime], Awaitable[Answer]]


def _route(path: str, method: str) -> Handler:
    """The function for `path`. Raises `EndpointError` with 404 or 405 if there is none."""
    path = path.rstrip("/")
    handler: Handler
    if path == CHAT:
        allowed, handler = "POST", _chat
    elif path == MODELS:
        allowed, handler = "GET", _models
    elif path.startswith(f"{MODELS}/"):
        allowed, handler = "GET", _model
    else:
        raise EndpointError(refusal(404, f"There is no {path} here.", code="not_found"))
    if method != allowed:
        raise EndpointError(
            refusal(
                405,
                f"{path} takes {allowed}, not {method}.",
                code="method_not_allowed",
                headers=[(b"allow", allowed.encode())],
            )
        )
    return handler


async def _chat(_path: str, key: KeyEntry, body: bytes, runtime: Runtime) -> Answer:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The request body is not JSON: {error}.") from None
    caller = Caller(team_id=key.team_id, surface=Surface.OPENAI, api_key_id=key.id)
    return answers.of_result(
        await execute(CallRequest(caller=caller, body=parsed), runtime=runtime)
    )


async def _models(_path: str, _key: KeyEntry, _body: bytes, runtime: Runtime) -> Answer:
    return answers.of_models(runtime.snapshot)


async def _model(path: str, _key: KeyEntry, _body: bytes, runtime: Runtime) -> Answer:
    return answers.of_model(runtime.snapshot, unquote(path.removeprefix(f"{MODELS}/").rstrip("/")))


async def _send(answer: Answer, request_id: str, send: Send) -> None:
    headers = [
        *answer.headers,
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
