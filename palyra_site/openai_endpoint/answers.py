"""What `/v1` answers, in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from governance.amounts import amount_json
from governance.calls import CallResult
from governance.errors import CallError
from governance.money import decimal_text
from governance.snapshot import Snapshot

HeaderList = tuple[tuple[bytes, bytes], ...]
JSON = (b"content-type", b"application/json")
# The official clients retry 408, 409, 429 and 5xx by themselves unless they are told not to.
DO_NOT_RETRY = (b"x-should-retry", b"false")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes
    headers: HeaderList = (JSON,)


class EndpointError(Exception):
    """A request that never became a call: its `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refusal(
    status: int,
    message: str,
    *,
    code: str,
    kind: str = "invalid_request_error",
    param: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    detail: Mapping[str, Any] | None = None,
) -> Answer:
    """OpenAI's error object, with whatever more there is to say beside its four fields."""
    error = {"message": message, "type": kind, "param": param, "code": code, **(detail or {})}
    return Answer(status, orjson.dumps({"error": error}), (JSON, DO_NOT_RETRY, *headers))


def of_error(error: CallError) -> Answer:
    """The answer to a call that was refused or failed."""
    headers = [(b"x-palyra-call-id", str(error.call_id).encode())] if error.call_id else []
    detail = dict(error.detail)
    if error.call_id:
        detail["call_id"] = str(error.call_id)
    answer = refusal(
        error.status,
        error.message,
        code=error.code,
        kind=error.type,
        param=error.param,
        headers=headers,
        detail=detail,
    )
    if not error.retryable:
        return answer
    kept = tuple(header for header in answer.headers if header != DO_NOT_RETRY)
    return Answer(answer.status, answer.body, (*kept, (b"retry-after", b"1")))


def of_result(result: CallResult) -> Answer:
    """The provider's own answer, with what Palyra knows of it in headers."""
    headers = [
        JSON,
        (b"x-palyra-call-id", str(result.call_id).encode()),
        (b"x-palyra-model", result.decision.actual.encode()),
    ]
    if result.cost is not None:
        headers.append((b"x-palyra-cost", decimal_text(result.cost).encode()))
    tightest = result.tightest
    if tightest is not None:
        remaining = amount_json(tightest.metric, tightest.remaining)
        headers.append((b"x-palyra-budget-remaining", f"{remaining}; {tightest.metric}".encode()))
    return Answer(200, orjson.dumps(result.body), tuple(headers))


def of_models(snapshot: Snapshot) -> Answer:
    """OpenAI's list of models: each name once, whichever providers answer to it."""
    names: dict[str, str] = {}
    for model in snapshot.registry.models:
        names.setdefault(model.name, model.provider.name)
    models = [
        {"id": name, "object": "model", "created": 0, "owned_by": provider}
        for name, provider in sorted(names.items())
    ]
    return Answer(200, orjson.dumps({"object": "list", "data": models}))


def of_model(snapshot: Snapshot, name: str) -> Answer:
    """One model of that list."""
    found = snapshot.registry.find(name)
    if not found:
        return refusal(404, f"There is no model “{name}”.", code="model_not_found", param="model")
    model = {
        "id": found[0].name,
        "object": "model",
        "created": 0,
        "owned_by": found[0].provider.name,
    }
    return Answer(200, orjson.dumps(model))
