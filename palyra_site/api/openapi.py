"""The API's description of itself, made honest about how it says no.

Ninja describes what operations return. What they raise is described here: each refusal as
problem+json, with the sentence an operation gives for it or the usual one.
"""

from __future__ import annotations

from typing import Any

from ninja import NinjaAPI

from palyra_site.api.problems import CONTENT_TYPE, Problem

REFERENCE = "#/components/schemas/{model}"
PROBLEM = REFERENCE.format(model="Problem")

USUAL = {
    400: "The body is not JSON.",
    401: "No key or session was sent, or one that may not be used.",
    403: "You may not do this, or the CSRF token is missing.",
    404: "There is none of that name or identifier, or it is another team's.",
    409: "It cannot be done in the state things are in.",
    413: "The body is larger than this server accepts.",
    422: "One or more fields cannot be used; `errors` names them all. Nothing was changed.",
    500: "Something went wrong inside Palyra.",
    503: "The database cannot be reached or is too busy.",
}
ALWAYS = (401, 403, 500, 503)
WITH_BODY = (400, 413, 422)


class DescribedAPI(NinjaAPI):
    """An API whose OpenAPI document declares every refusal."""

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        """The document, as OpenAPI 3.1."""
        document = super().get_openapi_schema(**kwargs)
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _describe_refusals(path, method, operation)
                _name_body(operation)
        problem = Problem.model_json_schema(ref_template=REFERENCE, mode="serialization")
        schemas = document["components"]["schemas"]
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        return document


def _describe_refusals(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    possible = {*ALWAYS, *(status for status in responses if status >= 400)}  # noqa: PLR2004
    if "requestBody" in operation:
        possible.update(WITH_BODY)
    if operation.get("parameters"):
        possible.add(422)
    if "{" in path:
        possible.add(404)
    if method != "get":
        possible.add(409)
    for status in sorted(possible):
        described = responses.setdefault(status, {"description": USUAL.get(status, "")})
        described["content"] = {
            CONTENT_TYPE: {"schema": {"$ref": REFERENCE.format(model="Problem")}}
        }
        if status == 401:  # noqa: PLR2004
            described["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}


def _name_body(operation: dict[str, Any]) -> None:
    """A body that may be left out is said to be so, and need not be said to be null as well."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        named = [one for one in content["schema"].get("anyOf", ()) if "$ref" in one]
        if len(named) == 1:
            content["schema"] = named[0]
