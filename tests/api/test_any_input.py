"""Whatever is sent, each operation answers only with what its documentation declares, never 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palyra_site.api.root import api
from tests.api.callers import Reply, signed_in
from tests.api.problems import assert_problem
from tests.api.sides import Side, make_side
from tests.support.factories import make_model

pytestmark = pytest.mark.django_db

DOCUMENT = api.get_openapi_schema(path_prefix="/api/v1/")
SCHEMAS = DOCUMENT["components"]["schemas"]

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "", " ", "\x00", "\ud800", "-1", "0", "1", "0.1", "1e5", "NaN", "9" * 40, "a" * 600,
            "auto", "main", "team", "global", "cost", "tokens", "day", "total", "chat", "exact",
            "deterministic", "openai_compatible", "https://api.example.com/v1", "http://[", "UTC",
            "Europe/Prague", "cron", "every", "at", "0 9 * * 1", "0 0 31 2 *", "* * * * * *",
            "2040-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
            "2040-01-01", "2040-03-31T02:30:00",
        ]
    ),
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 200_000),
    st.sampled_from([10**12, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40]),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def fields_of(operation: Any) -> dict[str, Any]:
    """The names an operation's body may have, each with any value, often a plain one."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return {}
    name = content["schema"]["$ref"].rpartition("/")[2]
    return {
        field: st.one_of(TEXTS, VALUES, plain(schema))
        for field, schema in SCHEMAS[name]["properties"].items()
    }


def plain(schema: dict[str, Any]) -> Any:
    """Values that the field's schema allows, more or less."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("type") in {"integer", "number"}:
        return st.integers(0, 1000)
    return st.booleans() if schema.get("type") == "boolean" else TEXTS


def queries_of(operation: Any) -> dict[str, Any]:
    return {
        one["name"]: st.one_of(TEXTS, plain(one["schema"]).map(str))
        for one in operation["parameters"]
        if one["in"] == "query"
    }


def operations() -> Iterator[Any]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            if fields_of(operation) or queries_of(operation):
                yield pytest.param(path, method, operation, id=operation["operationId"])


@pytest.fixture
def side() -> Side:
    return make_side("main")


def filled(path: str, side: Side, model_id: int) -> str:
    """`path` with the identifiers of what there is."""
    for name, value in {
        "name": "none",
        "team_slug": side.team.slug,
        "key_id": side.key.record.public_id,
        "model_id": model_id,
        "policy_id": side.policy.pk,
        "approval_id": side.approval.pk,
        "call_id": side.call.pk,
        "job_id": side.job.pk,
        "run_id": side.run.pk,
        "calendar_id": side.calendar.pk,
    }.items():
        path = path.replace(f"{{{name}}}", str(value))
    return path.removeprefix("/api/v1")


@pytest.mark.parametrize(("path", "method", "operation"), list(operations()))
def test_the_answer_is_one_that_is_declared(
    path: str, method: str, operation: Any, side: Side, administrator: User
) -> None:
    caller = signed_in(administrator)
    address = filled(path, side, make_model().pk)
    fields, queries = fields_of(operation), queries_of(operation)

    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
    @given(st.fixed_dictionaries({}, optional=fields), st.fixed_dictionaries({}, optional=queries))
    def holds(body: dict[str, Any], query: dict[str, str]) -> None:
        with transaction.atomic():
            reply = caller.send(
                method.upper(), address, body if fields else None, _encodable(query)
            )
            assert_declared(reply, operation)
            transaction.set_rollback(True)

    holds()


def assert_declared(reply: Reply, operation: Any) -> None:
    assert reply.status_code in operation["responses"], reply.content
    assert reply.status_code < 500, reply.content
    if reply.status_code >= 400:
        assert_problem(reply, reply.status_code)


def _encodable(query: dict[str, str]) -> dict[str, str]:
    """A query as a client can send it: in UTF-8."""
    return {name: value.encode(errors="replace").decode() for name, value in query.items()}
