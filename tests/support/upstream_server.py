"""The upstream's process: `python -m tests.support.upstream_server` serves until its input ends.

Under `/v1` it speaks OpenAI's protocol; under `/control` a test says how calls are answered, waits
for them to arrive, lets held ones go, and reads what was received.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiohttp import web

from tests.support.completions import Behaviour, Fault, completion, error, models

MODELS = ("upstream-small", "upstream-large")
JSON = "application/json"


class State:
    """What the upstream was told and what it received."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.received: list[dict[str, Any]] = []
        self.changed = asyncio.Condition()

    def behaviour(self, model: str) -> Behaviour:
        return self.behaviours.get(model, Behaviour())

    def count(self, model: str) -> int:
        """How many chat calls have arrived for `model`, or for any if it is empty."""
        return sum(
            entry["path"].endswith("/chat/completions")
            and (not model or entry["body"].get("model") == model)
            for entry in self.received
        )

    async def record(self, request: web.Request, body: Any) -> int:
        """Keep what was received; its number, from 1."""
        async with self.changed:
            self.received.append(
                {
                    "method": request.method,
                    "path": request.path,
                    "headers": {name.lower(): value for name, value in request.headers.items()},
                    "body": body,
                }
            )
            self.changed.notify_all()
            return len(self.received)

    async def released(self, model: str) -> None:
        """Wait until calls of `model` are not held."""
        async with self.changed:
            await self.changed.wait_for(lambda: not self.behaviour(model).hold)


STATE = web.AppKey("state", State)


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """`POST /v1/chat/completions`, answered as the model's behaviour says."""
    state = request.app[STATE]
    try:
        body = json.loads(await request.read())
    except ValueError:
        return _json(error(Behaviour(status=400, error_type="invalid_request_error")), 400)
    number = await state.record(request, body)
    behaviour = state.behaviour(body.get("model", ""))
    if behaviour.hold:
        await state.released(body.get("model", ""))
    if behaviour.latency:
        await asyncio.sleep(behaviour.latency)
    return _answer(request, body, behaviour, number)


def _answer(
    request: web.Request, body: dict[str, Any], behaviour: Behaviour, number: int
) -> web.StreamResponse:
    if behaviour.fault is Fault.DROPPED:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
    if behaviour.status >= 400:
        return _json(error(behaviour), behaviour.status, behaviour)
    if behaviour.fault is Fault.MALFORMED_JSON:
        return web.Response(text='{"choices": [', content_type=JSON)
    return _json(completion(body, behaviour, number=number), behaviour.status, behaviour)


def _json(body: Any, status: int = 200, behaviour: Behaviour | None = None) -> web.Response:
    headers = dict(behaviour.headers) if behaviour else {}
    return web.json_response(body, status=status, headers=headers)


async def list_models(request: web.Request) -> web.Response:
    """`GET /v1/models`."""
    await request.app[STATE].record(request, {})
    return _json(models(MODELS))


async def put_behaviour(request: web.Request) -> web.Response:
    """How a model's calls are answered from now on; calls it no longer holds go on."""
    state = request.app[STATE]
    given = await request.json()
    async with state.changed:
        state.behaviours[request.match_info["model"]] = Behaviour(
            **{**given, "fault": Fault(given["fault"])}
        )
        state.changed.notify_all()
    return _json({})


async def arrivals(request: web.Request) -> web.Response:
    """How many calls have arrived, answered when they are `at_least` so many or time is up."""
    state = request.app[STATE]
    model, at_least = request.query["model"], int(request.query["at_least"])
    async with state.changed:
        try:
            async with asyncio.timeout(float(request.query["patience"])):
                await state.changed.wait_for(lambda: state.count(model) >= at_least)
        except TimeoutError:
            return _json({"arrived": state.count(model), "enough": False})
    return _json({"arrived": state.count(model), "enough": True})


async def get_received(request: web.Request) -> web.Response:
    """Everything received since the start or the last DELETE."""
    return _json(request.app[STATE].received)


async def delete_received(request: web.Request) -> web.Response:
    """Forget what was received."""
    request.app[STATE].received.clear()
    return _json({})


def application() -> web.Application:
    """The upstream's routes; a protocol more is a route more."""
    app = web.Application(client_max_size=64 * 1024**2)
    app[STATE] = State()
    app.add_routes(
        [
            web.post("/v1/chat/completions", chat_completions),
            web.get("/v1/models", list_models),
            web.put("/control/behaviours/{model:.+}", put_behaviour),
            web.get("/control/arrivals", arrivals),
            web.get("/control/received", get_received),
            web.delete("/control/received", delete_received),
        ]
    )
    return app


async def serve() -> None:
    """Serve on a free loopback port, say which, and end when the input ends."""
    runner = web.AppRunner(application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    sys.stdout.write(f"ready {runner.addresses[0][1]}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
