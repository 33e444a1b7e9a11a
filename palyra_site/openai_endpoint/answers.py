"""What `/v1` answers, in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import orjson

from governance.amounts import amount_json
from governance.budgets import BudgetEvaluation
from governance.calls import CallResult
from governance.errors import CallError, CallWaits
from governance.money import decimal_text
from governance.snapshot import Snapshot
from providers.models import ModelRole

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


class Facts(Protocol):
    """What is known of an answered call, whether its answer is whole or comes in pieces."""

    @property
    def call_id(self) -> UUID: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def cached(self) -> bool: ...
    @property
    def cacheable(self) -> bool: ...
    @property
    def cost(self) -> int | None: ...
    @property
    def tightest(self) -> BudgetEvaluation | None: ...


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
    retryable: bool = False,
) -> Answer:
    """OpenAI's error object, with whatever more there is to say beside its four fields."""
    error = {"message": message, "type": kind, "param": param, "code": code, **(detail or {})}
    retry = () if retryable else (DO_NOT_RETRY,)
    return Answer(status, orjson.dumps({"error": error}), (JSON, *retry, *headers))


def of_waiting(error: CallWaits) -> Answer:
    """The answer to a call that is kept until it is approved: where its own answer will be."""
    address = str(error.detail["answer_url"])
    body = {
        "object": "palyra.kept_call",
        "status": "waiting",
        "message": error.message,
        "call_id": str(error.call_id),
        **error.detail,
    }
    headers = (
        JSON,
        *_headers_of_error(error),
        (b"location", address.encode()),
        (b"preference-applied", b"respond-async"),
    )
    return Answer(error.status, orjson.dumps(body), headers)


def of_error(error: CallError) -> Answer:
    """The answer to a call that was refused or failed, or that waits."""
    if isinstance(error, CallWaits):
        return of_waiting(error)
    headers = _headers_of_error(error)
    detail = dict(error.detail)
    if error.call_id:
        detail["call_id"] = str(error.call_id)
    wait = error.seconds_to_wait
    if wait is not None:
        headers.append((b"retry-after", str(wait).encode()))
    return refusal(
        error.status,
        error.message,
        code=error.code,
        kind=error.type,
        param=error.param,
        headers=headers,
        detail=detail,
        retryable=error.retryable,
    )


def _headers_of_error(error: CallError) -> list[tuple[bytes, bytes]]:
    """What is known of a call without an answer, as of one that has one."""
    headers = []
    if error.call_id:
        headers.append((b"x-palyra-call-id", str(error.call_id).encode()))
    if error.model:
        headers.append((b"x-palyra-model", error.model.encode()))
    if error.cost is not None:
        headers.append((b"x-palyra-cost", decimal_text(error.cost).encode()))
    return headers + _remaining(error.tightest)


def of_result(result: CallResult) -> Answer:
    """The provider's own answer, with what Palyra knows of it in headers."""
    headers = [(b"content-type", result.content_type.encode()), *headers_of(result)]
    if result.cost is not None:
        headers.append((b"x-palyra-cost", decimal_text(result.cost).encode()))
    body = result.body
    whole = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return Answer(200, whole, tuple(headers))


def headers_of(facts: Facts) -> list[tuple[bytes, bytes]]:
    """What is known of a call as soon as its answer begins."""
    headers = [
        (b"x-palyra-call-id", str(facts.call_id).encode()),
        (b"x-palyra-model", f"{facts.provider}/{facts.model}".encode()),
        (b"x-palyra-attempts", str(facts.attempts).encode()),
    ]
    if facts.cacheable:
        headers.append((b"x-palyra-cache", b"hit" if facts.cached else b"miss"))
    return headers + _remaining(facts.tightest)


def _remaining(tightest: BudgetEvaluation | None) -> list[tuple[bytes, bytes]]:
    """What the tightest budget leaves, and in which measure."""
    if tightest is None:
        return []
    remaining = amount_json(tightest.metric, tightest.remaining)
    return [(b"x-palyra-budget-remaining", f"{remaining}; {tightest.metric}".encode())]


def comments_of(facts: Facts) -> list[str]:
    """What is known of a streamed call only once it has ended, when no header can be sent."""
    return [] if facts.cost is None else [f"x-palyra-cost: {decimal_text(facts.cost)}"]


def of_models(snapshot: Snapshot) -> Answer:
    """OpenAI's list of models: each name once, whichever providers answer to it."""
    names: dict[str, str] = {}
    for model in snapshot.registry.models:
        names.setdefault(model.name, model.provider.name)
    models = [_listed(name, provider) for name, provider in sorted(names.items())]
    return Answer(200, orjson.dumps({"object": "list", "data": models}))


def of_model(snapshot: Snapshot, name: str) -> Answer:
    """One model of that list, by its name, an alias, or its provider's name before it."""
    found = [model for role in ModelRole for model in snapshot.registry.find(name, role)]
    if not found:
        return refusal(404, f"There is no model “{name}”.", code="model_not_found", param="model")
    return Answer(200, orjson.dumps(_listed(found[0].name, found[0].provider.name)))


def _listed(name: str, provider: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": provider}
