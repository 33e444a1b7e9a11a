"""The upstream's process: `python -m tests.support.upstream_server` serves until its input ends.

Under `/v1` it speaks OpenAI's protocol and under `/anthropic/v1` Anthropic's; under `/control` a
test says how calls are answered, waits for them to arrive or to be given up, lets held ones go, and
reads what was received.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from aiohttp import BodyPartReader, web

from tests.support import anthropic_wire, openai_wire
from tests.support.completions import Asked, Reply, reply_to
from tests.support.faults import INVALID_KEY, INVALID_REQUEST, Behaviour, behaviour_from_json
from tests.support.frames import Frame
from tests.support.misbehaviour import JSON, Conversation, Streamed, Whole, Wire
from tests.support.upstream_state import State

STATE = web.AppKey("state", State)
MOST_BYTES = 64 * 1024**2
# The name under which the behaviour of the lists of models is told.
LISTS = "models"


class ChatWire(Wire, Protocol):
    """A protocol for chats."""

    def asked(self, body: Mapping[str, Any]) -> Asked: ...

    def objection(self, body: Mapping[str, Any]) -> str | None: ...

    def completion(
        self, reply: Reply, behaviour: Behaviour, body: Mapping[str, Any], *, number: int
    ) -> dict[str, Any]: ...

    def frames(
        self, reply: Reply, behaviour: Behaviour, body: Mapping[str, Any], *, number: int
    ) -> Iterator[Frame]: ...


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """`POST /v1/chat/completions`."""
    return await _chat(request, openai_wire)


async def messages(request: web.Request) -> web.StreamResponse:
    """`POST /anthropic/v1/messages`."""
    return await _chat(request, anthropic_wire)


async def _chat(request: web.Request, wire: ChatWire) -> web.StreamResponse:
    body = await _json_of(request)
    conversation = _begin(request, body, wire)
    if said := _objection(conversation, wire.objection):
        return await conversation.refuse(said)
    asked, behaviour = wire.asked(body), conversation.behaviour
    number = conversation.exchange.number
    reply = reply_to(asked, behaviour, number=number)
    if asked.stream:
        frames = wire.frames(reply, behaviour, body, number=number)
        return await conversation.answer(Streamed(frames))
    whole = wire.completion(reply, behaviour, body, number=number)
    return await conversation.answer(Whole.of(whole))


async def embeddings(request: web.Request) -> web.StreamResponse:
    """`POST /v1/embeddings`."""
    body = await _json_of(request)
    conversation = _begin(request, body, openai_wire)
    if said := _objection(conversation, lambda body: None if body.get("input") else "No input."):
        return await conversation.refuse(said)
    return await conversation.answer(Whole.of(openai_wire.embeddings(body, conversation.behaviour)))


async def transcriptions(request: web.Request) -> web.StreamResponse:
    """`POST /v1/audio/transcriptions`, a form with a file."""
    form = await _form_of(request)
    conversation = _begin(request, form, openai_wire)
    if said := _objection(conversation, lambda form: None if form.get("file") else "No file."):
        return await conversation.refuse(said)
    return await conversation.answer(
        Whole.of(openai_wire.transcription(form, conversation.behaviour))
    )


async def list_models(request: web.Request) -> web.StreamResponse:
    """`GET /v1/models`."""
    conversation = _begin(request, {}, openai_wire, told=LISTS)
    if said := _objection(conversation, lambda _: None):
        return await conversation.refuse(said)
    return await conversation.answer(Whole.of(openai_wire.models()))


async def list_anthropic_models(request: web.Request) -> web.StreamResponse:
    """`GET /anthropic/v1/models`, page by page."""
    conversation = _begin(request, {}, anthropic_wire, told=LISTS)
    if said := _objection(conversation, lambda _: None):
        return await conversation.refuse(said)
    return await conversation.answer(Whole.of(anthropic_wire.models(request.query.get("after_id"))))


def _begin(
    request: web.Request, body: dict[str, Any], wire: Wire, *, told: str = ""
) -> Conversation:
    """Keep what arrived, and find out how it is to be answered."""
    state = request.app[STATE]
    headers = {name.lower(): value for name, value in request.headers.items()}
    exchange, behaviour = state.receive(request.method, request.path, headers, body, told=told)
    return Conversation(request, exchange, behaviour, wire, state)


def _objection(
    conversation: Conversation, to_body: Callable[[dict[str, Any]], str | None]
) -> Behaviour | None:
    """The refusal of a request with a wrong key, or one that the real host would refuse too."""
    headers, credentials = conversation.exchange.headers, conversation.state.credentials
    anthropic = conversation.wire is anthropic_wire
    given = headers.get("authorization", "").removeprefix("Bearer ")
    if anthropic:
        given = headers.get("x-api-key", given)
    if credentials and given not in credentials:
        return INVALID_KEY
    if anthropic and headers.get("anthropic-version") not in anthropic_wire.VERSIONS:
        return INVALID_REQUEST.saying("anthropic-version: header is required")
    said = to_body(conversation.exchange.body)
    return INVALID_REQUEST.saying(said) if said else None


async def _json_of(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        text = json.dumps(openai_wire.error(INVALID_REQUEST.saying("The body is not JSON.")))
        raise web.HTTPBadRequest(text=text, content_type=JSON)
    return body


async def _form_of(request: web.Request) -> dict[str, Any]:
    """A form's fields in order, its `model` apart, and of its file what there is to know."""
    fields: list[tuple[str, str]] = []
    form: dict[str, Any] = {"fields": fields}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        content = bytes(await part.read())
        if part.filename is None:
            fields.append((str(part.name), content.decode()))
            continue
        form["file"] = {
            "filename": part.filename,
            "content_type": part.headers.get("Content-Type", ""),
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    form["model"] = dict(fields).get("model", "")
    return form


async def put_behaviour(request: web.Request) -> web.Response:
    """How a model's calls are answered from now on; calls it no longer holds go on."""
    behaviour = behaviour_from_json(await request.json())
    request.app[STATE].say(request.match_info["model"], behaviour)
    return web.json_response({})


async def put_credentials(request: web.Request) -> web.Response:
    """The only credentials that are accepted; none means that none is asked for."""
    request.app[STATE].credentials = set(await request.json())
    return web.json_response({})


async def counts(request: web.Request) -> web.Response:
    """How many calls came to an event, answered when they are `at_least` so many or time is up."""
    state = request.app[STATE]
    event, model = request.match_info["event"], request.query["model"]
    at_least = int(request.query["at_least"])
    try:
        async with asyncio.timeout(float(request.query["patience"])):
            await state.until(lambda: state.count(event, model) >= at_least)
    except TimeoutError:
        return web.json_response({"count": state.count(event, model), "enough": False})
    return web.json_response({"count": state.count(event, model), "enough": True})


async def get_received(request: web.Request) -> web.Response:
    """Everything received since the start or the last DELETE."""
    return web.json_response([exchange.as_json() for exchange in request.app[STATE].received])


async def delete_received(request: web.Request) -> web.Response:
    """Forget what was received."""
    request.app[STATE].forget()
    return web.json_response({})


def application() -> web.Application:
    """The upstream's routes; a protocol more is a route more."""
    app = web.Application(client_max_size=MOST_BYTES)
    app[STATE] = State()
    app.add_routes(
        [
            web.post("/v1/chat/completions", chat_completions),
            web.post("/v1/embeddings", embeddings),
            web.post("/v1/audio/transcriptions", transcriptions),
            web.get("/v1/models", list_models),
            web.post("/anthropic/v1/messages", messages),
            web.get("/anthropic/v1/models", list_anthropic_models),
            web.put("/control/behaviours/{model:.+}", put_behaviour),
            web.put("/control/credentials", put_credentials),
            web.get("/control/counts/{event}", counts),
            web.get("/control/received", get_received),
            web.delete("/control/received", delete_received),
        ]
    )
    return app


async def serve() -> None:
    """Serve on a free loopback port, say which, and end when the input ends."""
    # A client that goes away cancels what is done for it, which is how that is noticed.
    runner = web.AppRunner(
        application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    sys.stdout.write(f"ready {runner.addresses[0][1]}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
