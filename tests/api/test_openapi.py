"""The OpenAPI document is honest: it declares everything the API says, and says nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from palyra_site.api.root import api

DOCUMENT = api.get_openapi_schema(path_prefix="/api/v1/")
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def operations() -> Iterator[Any]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield pytest.param(path, method, operation, id=operation["operationId"])


everywhere = pytest.mark.parametrize(("path", "method", "operation"), list(operations()))


@everywhere
def test_an_operation_says_what_it_does(path: str, method: str, operation: Any) -> None:
    assert operation["summary"][0].isupper()
    assert not operation["summary"].endswith(".")
    assert operation["description"].endswith(".")
    assert operation["tags"]
    assert operation["security"] == [{"TeamKey": []}, {"SignedIn": []}]


@everywhere
def test_an_operation_declares_how_it_refuses(path: str, method: str, operation: Any) -> None:
    responses = operation["responses"]
    expected = {401, 403, 500, 503}
    expected |= {404} if "{" in path else set()
    expected |= {400, 409, 413, 422} if "requestBody" in operation else set()
    expected |= {422} if operation["parameters"] else set()
    expected |= {409} if method != "get" else set()
    assert expected <= responses.keys()
    for status, response in responses.items():
        assert response["description"]
        if status >= 400:
            assert response["content"] == PROBLEM
    assert "WWW-Authenticate" in responses[401]["headers"]


@everywhere
def test_an_operation_declares_one_success(path: str, method: str, operation: Any) -> None:
    successes = [status for status in operation["responses"] if status < 400]
    assert successes in ([200], [201], [204])
    content = operation["responses"][successes[0]].get("content", {})
    expected = set() if successes == [204] else {"application/json"}
    if operation["operationId"] == "export_usage":
        expected = {"text/csv", "application/x-ndjson"}
    assert content.keys() == expected


def test_operations_have_names_of_their_own() -> None:
    names = [operation.values[2]["operationId"] for operation in operations()]
    assert len(names) == len(set(names))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_schema_referred_to_is_there() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for reference in references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_no_answer_has_a_secret_in_it() -> None:
    """Only a new key's text and what is written, never read, may have such a name."""
    schemas = DOCUMENT["components"]["schemas"]
    named = {
        (schema, field)
        for schema, details in schemas.items()
        for field in details.get("properties", {})
        if field in {"key", "secret", "secret_hash", "ciphertext", "text", "password", "token"}
    }
    # In CallOut, `key` is the public part.
    assert named == {
        ("ChannelIn", "secret"),
        ("ChannelChange", "secret"),
        ("CredentialIn", "secret"),
        ("FromPresetIn", "secret"),
        ("NewKeyOut", "key"),
        ("CallOut", "key"),
        ("CallStoryOut", "key"),
    }
    for name in ("ChannelIn", "ChannelChange", "CredentialIn", "FromPresetIn"):
        assert schemas[name]["properties"]["secret"]["writeOnly"] is True


def test_money_and_identifiers_are_strings() -> None:
    money = {"cost", "amount", "hard_limit", "soft_limit", "estimate_upper", "output_price"}
    for name, details in DOCUMENT["components"]["schemas"].items():
        for field, schema in details.get("properties", {}).items():
            if field in money or field == "id":
                types = {part.get("type") for part in schema.get("anyOf", [schema])}
                assert types <= {"string", "null"}, (name, field)


def test_a_change_shows_no_defaults() -> None:
    for name, details in DOCUMENT["components"]["schemas"].items():
        if name.endswith("Change"):
            assert all("default" not in schema for schema in details["properties"].values())
            assert "required" not in details
