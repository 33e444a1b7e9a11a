"""What each path does with a request whose key is good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

from governance.calls import Caller, CallRequest, execute
from governance.errors import InvalidRequest
from governance.models import Surface
from palyra_site.openai_endpoint import answers, forms, options, streaming
from palyra_site.openai_endpoint.answers import EndpointError, refusal
from palyra_site.openai_endpoint.replies import Reply
from palyra_site.openai_endpoint.requests import Request
from providers.models import ModelRole

Handler = Callable[[Request, Reply], Awaitable[None]]
MODELS = "/v1/models"


async def chat(request: Request, reply: Reply) -> None:
    """`POST /v1/chat/completions`, whole or streamed."""
    body = await request.json()
    stream = body.get("stream") if isinstance(body, Mapping) else None
    if not isinstance(stream, bool | None):
        raise InvalidRequest("“stream” is true or false.", param="stream")
    call = _call(request, body, ModelRole.CHAT)
    if stream:
        await streaming.respond(call, request, reply)
    else:
        await _answer(call, request, reply)


async def embeddings(request: Request, reply: Reply) -> None:
    """`POST /v1/embeddings`."""
    await _answer(_call(request, await request.json(), ModelRole.EMBEDDINGS), request, reply)


async def transcriptions(request: Request, reply: Reply) -> None:
    """`POST /v1/audio/transcriptions`."""
    form = await forms.read(request)
    await _answer(_call(request, form, ModelRole.AUDIO_TRANSCRIPTION), request, reply)


async def models(request: Request, reply: Reply) -> None:
    """`GET /v1/models`."""
    await reply.whole(answers.of_models(request.runtime.snapshot))


async def model(request: Request, reply: Reply) -> None:
    """`GET /v1/models/{name}`; a name may have slashes in it."""
    name = unquote(request.path.removeprefix(f"{MODELS}/").rstrip("/"))
    await reply.whole(answers.of_model(request.runtime.snapshot, name))


# By path: the one method it takes, and what is done.
PATHS: Mapping[str, tuple[str, Handler]] = {
    "/v1/chat/completions": ("POST", chat),
    "/v1/embeddings": ("POST", embeddings),
    "/v1/audio/transcriptions": ("POST", transcriptions),
    MODELS: ("GET", models),
}


def find(path: str, method: str) -> Handler:
    """The function for `path`. Raises `EndpointError` with 404 or 405 if there is none."""
    path = path.rstrip("/")
    found = PATHS.get(path)
    if found is None and path.startswith(f"{MODELS}/"):
        found = ("GET", model)
    if found is None:
        raise EndpointError(refusal(404, f"There is no {path} here.", code="not_found"))
    allowed, handler = found
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


def _call(request: Request, body: Any, role: ModelRole) -> CallRequest:
    return CallRequest(
        caller=Caller(
            team_id=request.key.team_id,
            surface=Surface.OPENAI,
            api_key_id=request.key.id,
            session=options.session(request),
        ),
        body=body,
        role=role.value,
        task_class=options.task_class(request),
        cache=options.cache_use(request),
        routing_mode=options.routing_mode(request),
        respond_async=options.respond_async(request),
        approvals=options.approvals(request),
    )


async def _answer(call: CallRequest, request: Request, reply: Reply) -> None:
    await reply.whole(answers.of_result(await execute(call, runtime=request.runtime)))
