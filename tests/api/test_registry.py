"""Providers through the API."""

from __future__ import annotations

import pytest

from providers.models import Provider
from tests.api.acme import ACME, OTHER
from tests.api.callers import Caller, body_of
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.remote import REMOTE, TEXT, stored_text

# Rules about fields, addresses and permissions: once is enough.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


def test_a_provider_is_added_with_its_secret(organisation: Caller) -> None:
    response = organisation.post("/providers", REMOTE)
    assert response.status_code == 201
    body = body_of(response)
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "name": "acme",
        "display_name": "",
        "kind": "openai_compatible",
        "base_url": "https://api.acme.example/v1",
        "allow_private_base_url": False,
        "credentials": [ACME],
        "enabled": True,
        "connect_timeout": 5.0,
        "first_token_timeout": 30.0,
        "total_timeout": 60.0,
        "max_retries": 2,
        "retry_backoff_ms": 150,
        "breaker_threshold": 3,
        "breaker_cooldown": 30.0,
        "concurrency_limit": 4,
        "credential_concurrency_limit": 2,
        "output_cap_field": "",
        "cache_seconds": 30,
        "rehearsal_latency_ms": 0,
        "rehearsal_failure_percent": 0,
        "rehearsal_failure_class": "transient_upstream",
    }
    assert stored_text("acme") == TEXT


@pytest.mark.every_database
def test_every_field_is_stored_and_changed(organisation: Caller) -> None:
    values = {
        "display_name": "Acme",
        "kind": "anthropic",
        "base_url": "http://10.0.0.1/v1",
        "allow_private_base_url": True,
        "enabled": False,
        "connect_timeout": 1.5,
        "first_token_timeout": 10.0,
        "total_timeout": 20.0,
        "max_retries": 0,
        "retry_backoff_ms": 10,
        "breaker_threshold": 9,
        "breaker_cooldown": 1.0,
        "concurrency_limit": None,
        "credential_concurrency_limit": None,
        "output_cap_field": "max_tokens",
        "cache_seconds": 0,
        "rehearsal_latency_ms": 1,
        "rehearsal_failure_percent": 2,
        "rehearsal_failure_class": "rate_limited",
    }
    made = body_of(organisation.post("/providers", {"name": "made", **values}))
    assert made == {"name": "made", "credentials": [], "created_at": made["created_at"], **values}
    organisation.post("/providers", {"name": "later", "kind": "deterministic"})
    changed = body_of(organisation.patch("/providers/later", values))
    later = {"name": "later", "credentials": [], "created_at": changed["created_at"], **values}
    assert changed == later


def test_a_short_answer_begins_soon_unless_told_otherwise(organisation: Caller) -> None:
    body = {"name": "quick", "kind": "deterministic", "total_timeout": 5.0}
    assert body_of(organisation.post("/providers", body))["first_token_timeout"] == 5.0
    late = {**body, "name": "late", "first_token_timeout": 6.0}
    assert faults(organisation.post("/providers", late)).keys() == {"first_token_timeout"}


@pytest.mark.parametrize(
    "address",
    ["", "ftp://example.com", "javascript:alert(1)", "example.com/v1", "http://u:p@host/v1"],
)
def test_an_address_that_is_not_http_is_refused(
    organisation: Caller, nothing_stored: NothingStored, address: str
) -> None:
    with nothing_stored():
        found = faults(organisation.post("/providers", {**REMOTE, "base_url": address}))
    assert found.keys() == {"base_url"}


@pytest.mark.parametrize("seconds", [b"NaN", b"1e999", b"true", b'"5"'])
def test_a_time_is_a_finite_number(
    organisation: Caller, nothing_stored: NothingStored, seconds: bytes
) -> None:
    raw = b'{"name": "a", "kind": "deterministic", "total_timeout": ' + seconds + b"}"
    with nothing_stored():
        response = organisation.post("/providers", raw)
    assert_problem(response, 400 if seconds == b"NaN" else 422)


def test_a_change_changes_what_it_names(organisation: Caller) -> None:
    organisation.post("/providers", REMOTE)
    response = organisation.patch("/providers/acme", {"enabled": False, "display_name": "Acme"})
    assert response.status_code == 200
    provider = Provider.objects.get(name="acme")
    assert (provider.enabled, provider.display_name, provider.kind) == (
        False,
        "Acme",
        "openai_compatible",
    )
    assert provider.credentials.count() == 1


def test_a_bad_change_changes_nothing(organisation: Caller) -> None:
    organisation.post("/providers", REMOTE)
    found = faults(
        organisation.patch(
            "/providers/acme", {"enabled": None, "base_url": "ftp://x", "name": "other"}
        )
    )
    assert found.keys() == {"enabled", "name"}
    found = faults(
        organisation.patch(
            "/providers/acme",
            {"base_url": "ftp://x", "credentials": [{"secret": OTHER}]},
        )
    )
    assert found.keys() == {"base_url"}
    assert Provider.objects.get(name="acme").base_url == REMOTE["base_url"]
    assert stored_text("acme") == TEXT


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:11434/v1", "http://localhost/v1", "http://[fd00::1]/v1"]
)
def test_a_private_address_is_allowed_only_when_asked_for(
    organisation: Caller, address: str
) -> None:
    body = {**REMOTE, "base_url": address}
    assert faults(organisation.post("/providers", body)).keys() == {"base_url"}
    allowed = organisation.post("/providers", {**body, "allow_private_base_url": True})
    assert allowed.status_code == 201
    found = faults(organisation.patch("/providers/acme", {"allow_private_base_url": False}))
    assert found.keys() == {"base_url"}
