"""What ninja does not see: gives everything under /api/ a request id, and every refusal its form.

Unknown addresses, wrong methods and failures outside an operation are Django's own HTML pages
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from palyra_site.api.problems import CONTENT_TYPE, problem, request_id

PREFIX = "/api/"

_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request cannot be understood.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address. /api/v1/docs lists what there is.",
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "Something went wrong inside Palyra. It is in the log under this request_id."
    ),
}
# What describes the page that is replaced, and would be wrong of its replacement.
_DROPPED = {"content-type", "content-length", "etag", "content-encoding"}


class ProblemMiddleware(MiddlewareMixin):
    """Under /api/ only: nothing is cached, everything has a request id, refusals are problems."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """The response, or the problem that says the same."""
        if not request.path.startswith(PREFIX):
            return response
        refused = response.status_code >= HTTPStatus.BAD_REQUEST
        if refused and response.headers.get("Content-Type") != CONTENT_TYPE:
            response = _replaced(request, response)
        response.headers["X-Request-ID"] = request_id(request)
        # What a key or a session may see is for nobody else, and a new key is shown once.
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _replaced(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    status = HTTPStatus(response.status_code)
    said = getattr(response, "problem_detail", "")
    detail = said or _DETAILS.get(status, status.description or status.phrase)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible here, only {response.headers['Allow']}."
    kept = {name: value for name, value in response.headers.items() if name.lower() not in _DROPPED}
    refusal = problem(request, status, detail, headers=kept)
    refusal.cookies = response.cookies
    return refusal
