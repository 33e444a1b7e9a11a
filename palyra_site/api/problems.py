"""Refusals as RFC 9457 problem details: `application/problem+json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from ninja import Schema
from pydantic import Field

from providers.identifiers import new_id

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with what was sent; `field` is a path such as credentials.0.name, or None."""

    field: str | None
    message: str


class FaultOut(Schema):
    """One thing wrong with what was sent."""

    field: str | None = Field(
        description="The field's path, such as `credentials.0.name`; null for the whole request."
    )
    message: str


class Problem(Schema):
    """Why a request was refused."""

    type: str = Field(description="Always `about:blank`: `status` and `code` say what kind.")
    title: str = Field(description="The status in words.")
    status: int
    code: str = Field(description="What happened, for programs.")
    detail: str = Field(description="What happened and what to do about it, for people.")
    request_id: str = Field(description="Names this request in Palyra's log.")
    errors: list[FaultOut] | None = Field(
        None, description="Every fault of the request, where it was at fault."
    )


def request_id(request: HttpRequest) -> str:
    """The request's identifier, the same each time it is asked for."""
    if not hasattr(request, "palyra_request_id"):
        request.palyra_request_id = str(new_id())  # type: ignore[attr-defined]
    return str(request.palyra_request_id)  # type: ignore[attr-defined]


def problem(
    request: HttpRequest,
    status: int,
    detail: str,
    *,
    code: str | None = None,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """A response that refuses; `members` are added to the problem beside the standard ones."""
    phrase = HTTPStatus(status).phrase
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase,
        "status": status,
        "code": code or phrase.lower().replace(" ", "_").replace("-", "_"),
        "detail": detail,
        "request_id": request_id(request),
    }
    if faults:
        body["errors"] = [asdict(fault) for fault in faults]
    content = json.dumps({**(members or {}), **body}, cls=DjangoJSONEncoder, ensure_ascii=False)
    return HttpResponse(content, status=status, content_type=CONTENT_TYPE, headers=headers)
