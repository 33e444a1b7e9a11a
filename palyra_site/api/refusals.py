"""What each exception looks like from outside. Operations raise; only this module answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import IntegrityError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError
from ninja.errors import ValidationError as RequestInvalid

from governance.approvals import ApprovalAlreadyDecided, ApprovalNotAllowed
from governance.corrections import NotCorrectable
from governance.errors import CallError
from palyra_site.api import faults
from palyra_site.api.auth import NotAuthenticated
from palyra_site.api.problems import Fault, problem, request_id

logger = logging.getLogger("palyra.api")

UNPROCESSABLE = "The request was understood but cannot be done as it stands; nothing was changed."

# What is wrong with the state of things and not with what was sent, by the error's code.
OF_STATE = {"busy": 409, "ran": 409, "ended": 409, "in_use": 409, "deleted": 404}


def install(api: NinjaAPI) -> None:
    """Give `api` a problem for every exception an operation can end with."""
    answers: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
        NotAuthenticated: not_authenticated,
        AuthenticationError: nobody,
        HttpError: _http_error,
        RequestInvalid: lambda request, error: _invalid(request, faults.of_request(error.errors)),
        ValidationError: _refused_by_rule,
        Http404: lambda request, error: problem(
            request, 404, str(error) or "There is no such thing."
        ),
        PermissionDenied: lambda request, error: problem(
            request, 403, str(error) or "You may not do this."
        ),
        ApprovalNotAllowed: lambda request, error: problem(request, 403, str(error)),
        ApprovalAlreadyDecided: lambda request, error: problem(
            request, 409, str(error), code="already_decided"
        ),
        NotCorrectable: lambda request, error: problem(
            request, 409, str(error), code="not_correctable"
        ),
        ProtectedError: lambda request, error: problem(
            request, 409, "Other things still depend on it. Disable it instead.", code="in_use"
        ),
        IntegrityError: _integrity,
        OperationalError: _unavailable,
        CallError: _call_error,
        RequestDataTooBig: lambda request, error: problem(
            request, 413, "The body is larger than this server accepts (PALYRA_REQUEST_BODY_LIMIT)."
        ),
        SuspiciousOperation: lambda request, error: problem(
            request, 400, "The request cannot be understood."
        ),
        UnreadablePostError: lambda request, error: problem(
            request, 400, "The connection ended before the whole body had arrived."
        ),
        Exception: _failure,
    }
    for exception, answer in answers.items():
        api.add_exception_handler(exception, answer)


def not_authenticated(request: HttpRequest, error: NotAuthenticated) -> HttpResponse:
    """401 with its challenge, for who sent what may not be used."""
    return problem(request, 401, error.message, headers={"WWW-Authenticate": error.challenge})


def nobody(request: HttpRequest, _error: AuthenticationError | None = None) -> HttpResponse:
    """401 with its challenge, for who sent nothing."""
    return not_authenticated(
        request,
        NotAuthenticated(
            "Send a team's key as “Authorization: Bearer ply_…”, or sign in.", key_refused=False
        ),
    )


def _invalid(request: HttpRequest, found: list[Fault]) -> HttpResponse:
    return problem(request, 422, UNPROCESSABLE, code="validation_failed", faults=found)


def _refused_by_rule(request: HttpRequest, error: ValidationError) -> HttpResponse:
    status = OF_STATE.get(getattr(error, "code", None) or "")
    if status is not None:
        return problem(request, status, " ".join(error.messages), code=error.code)
    return _invalid(request, faults.of_validation(error))


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    # Ninja wraps whatever the parser raised.
    cause = error.__cause__
    if isinstance(cause, RequestInvalid):
        return _invalid(request, faults.of_request(cause.errors))
    if isinstance(cause, json.JSONDecodeError):
        where = f"line {cause.lineno}, column {cause.colno}"
        return problem(
            request, 400, f"The body is not JSON: {cause.msg} at {where}.", code="malformed_json"
        )
    if cause is not None:
        return problem(
            request,
            400,
            "The body is not JSON in UTF-8, or is nested too deep.",
            code="malformed_json",
        )
    return problem(request, error.status_code, error.message)


def _call_error(request: HttpRequest, error: CallError) -> HttpResponse:
    found = [Fault(error.param, error.message)] if error.param else []
    return problem(
        request,
        error.status,
        error.message,
        code=error.code,
        faults=found,
        headers=_headers_of_call(error),
        members={"call": error.detail} if error.detail else None,
    )


def _headers_of_call(error: CallError) -> dict[str, str]:
    """What `/v1` says beside such an error: of which call it is, and who may try again when."""
    headers = {} if error.retryable else {"x-should-retry": "false"}
    if error.call_id:
        headers["x-palyra-call-id"] = str(error.call_id)
    wait = error.seconds_to_wait
    return headers if wait is None else headers | {"Retry-After": str(wait)}


def _integrity(request: HttpRequest, error: IntegrityError) -> HttpResponse:
    # The rules are checked before writing, so this is a race that the database decided.
    logger.warning("request %s: %s", request_id(request), error)
    return problem(
        request,
        409,
        "Somebody changed the same thing at the same moment, so nothing was changed. Try again.",
        headers={"Retry-After": "1"},
    )


def _unavailable(request: HttpRequest, error: OperationalError) -> HttpResponse:
    logger.error("request %s: %s", request_id(request), error)
    return problem(
        request,
        503,
        "The database cannot be reached or is too busy. Try again in a moment.",
        headers={"Retry-After": "2"},
    )


def _failure(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error(
        "request %s failed: %s %s",
        request_id(request),
        request.method,
        request.path,
        exc_info=error,
    )
    return problem(
        request,
        500,
        "Something went wrong inside Palyra. It is in the log under this request_id.",
        code="internal_error",
    )
