"""What a refusal must look like, whatever it refuses."""

from __future__ import annotations

from typing import Any

from tests.api.callers import Reply


def assert_problem(response: Reply, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem of a refused request, checked for everything RFC 9457 and the docs promise."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith((".", "?", "!"))
    assert problem["request_id"] == response.headers["X-Request-ID"]
    if code is not None:
        assert problem["code"] == code
    return problem


def faults(response: Reply) -> dict[str | None, str]:
    """The faults of a 422, by field."""
    problem = assert_problem(response, 422, "validation_failed")
    found = {fault["field"]: fault["message"] for fault in problem["errors"]}
    assert all(message.endswith((".", "?", "!")) for message in found.values())
    return found
