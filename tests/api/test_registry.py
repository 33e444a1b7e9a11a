"""Providers, their models and credentials through the API."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from providers import vault
from providers.models import Provider, ProviderModel, Secret
from tests.api.callers import Caller, body_of, items_of, person, signed_in
from tests.api.problems import assert_problem, faults
from tests.support.factories import make_model, make_provider

pytestmark = pytest.mark.django_db
NothingStored = Callable[[], AbstractContextManager[None]]

TEXT = "sk-a-very-secret-credential-1234"
REMOTE = {
    "name": "acme",
    "kind": "openai_compatible",
    "base_url": "https://api.acme.example/v1",
    "credential": {"secret": TEXT},
}


def stored_text(name: str) -> str:
    return vault.decrypt(Secret.objects.get(name=name).ciphertext).text


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
        "credential": {"name": "acme", "last_four": "1234"},
        "enabled": True,
        "connect_timeout": 5.0,
        "total_timeout": 60.0,
        "rehearsal_latency_ms": 0,
        "rehearsal_failure_percent": 0,
    }
    assert stored_text("acme") == TEXT


def test_a_secret_is_never_given_back(organisation: Caller) -> None:
    replies = [
        organisation.post("/providers", REMOTE),
        organisation.post("/providers", REMOTE),
        organisation.post("/providers", {**REMOTE, "name": "bad name"}),
        organisation.patch("/providers/acme", {"credential": {"secret": TEXT, "name": "acme"}}),
        organisation.patch("/providers/acme", {"credential": {"secret": TEXT + "x" * 9000}}),
        organisation.patch("/providers/acme", {"credential": {"secret": [TEXT]}}),
        organisation.get("/providers/acme"),
        organisation.get("/providers"),
    ]
    ciphertext = Secret.objects.get(name="acme").ciphertext
    for reply in replies:
        assert TEXT not in reply.content.decode()
        assert ciphertext not in reply.content.decode()


def test_a_stored_secret_is_used_by_its_name(organisation: Caller) -> None:
    organisation.post("/providers", REMOTE)
    response = organisation.post(
        "/providers", {**REMOTE, "name": "second", "credential": {"name": "acme"}}
    )
    assert body_of(response)["credential"]["name"] == "acme"
    assert Secret.objects.count() == 1


def test_a_new_secret_replaces_the_text_of_the_old_one(organisation: Caller) -> None:
    organisation.post("/providers", REMOTE)
    response = organisation.patch(
        "/providers/acme", {"credential": {"secret": "  sk-another-credential-9876\n"}}
    )
    assert body_of(response)["credential"] == {"name": "acme", "last_four": "9876"}
    assert stored_text("acme") == "sk-another-credential-9876"
    assert Secret.objects.count() == 1


def test_a_credential_is_taken_away_with_null(organisation: Caller) -> None:
    organisation.post("/providers", REMOTE)
    response = organisation.patch("/providers/acme", {"credential": None})
    assert body_of(response)["credential"] is None
    assert Secret.objects.filter(name="acme").exists()


@pytest.mark.parametrize(
    ("credential", "field"),
    [
        ({}, "credential"),
        ({"name": "acme", "secret": TEXT}, "credential"),
        ({"name": "nowhere"}, "credential.name"),
        ({"secret": ""}, "credential.secret"),
        ({"secret": "   "}, "credential.secret"),
        ({"secret": "x" * 8193}, "credential.secret"),
    ],
)
def test_a_bad_credential_stores_nothing(
    organisation: Caller, nothing_stored: NothingStored, credential: Any, field: str
) -> None:
    with nothing_stored():
        found = faults(organisation.post("/providers", {**REMOTE, "credential": credential}))
    assert found.keys() == {field}


def test_another_providers_secret_is_not_overwritten(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    secret = Secret(name="acme")
    secret.set_text("sk-the-one-that-was-here-first")
    secret.save()
    with nothing_stored():
        found = faults(organisation.post("/providers", REMOTE))
    assert found.keys() == {"credential.name"}
    assert stored_text("acme") == "sk-the-one-that-was-here-first"


def test_a_fault_of_the_provider_keeps_its_secret_out_too(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    body = {
        **REMOTE,
        "kind": "telepathic",
        "base_url": "ftp://acme.example",
        "total_timeout": 0,
        "credential": {"name": "nowhere"},
    }
    with nothing_stored():
        found = faults(organisation.post("/providers", body))
    assert found.keys() == {"kind", "base_url", "total_timeout", "credential.name"}


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
    assert provider.credential is not None


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
            {"base_url": "ftp://x", "credential": {"secret": "sk-another-credential-9876"}},
        )
    )
    assert found.keys() == {"base_url"}
    assert Provider.objects.get(name="acme").base_url == REMOTE["base_url"]
    assert stored_text("acme") == TEXT


def test_writing_a_secret_takes_its_own_permission(nothing_stored: NothingStored) -> None:
    caller = signed_in(person("adder", "providers.add_provider", "providers.view_provider"))
    with nothing_stored():
        problem = assert_problem(caller.post("/providers", REMOTE), 403)
    assert "providers.add_secret" in problem["detail"]
    assert caller.post("/providers", {**REMOTE, "credential": None}).status_code == 201


def test_models_are_added_and_changed(organisation: Caller) -> None:
    make_provider(name="acme")
    response = organisation.post("/providers/acme/models", {"name": "small", "is_default": True})
    assert response.status_code == 201
    model = body_of(response)
    assert model == {
        "id": str(ProviderModel.objects.get().pk),
        "provider": "acme",
        "name": "small",
        "upstream_name": "",
        "role": "chat",
        "enabled": True,
        "is_default": True,
        "context_window": 128_000,
        "max_output_tokens": 4096,
    }
    changed = organisation.patch(f"/models/{model['id']}", {"max_output_tokens": 100})
    assert body_of(changed)["max_output_tokens"] == 100
    assert body_of(changed)["is_default"] is True


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "auto"}, {"name"}),
        ({"name": " x"}, {"name"}),
        ({"name": "taken"}, {None}),
        ({"name": "new", "role": "oracle", "context_window": 0}, {"role", "context_window"}),
        ({"name": "new", "max_output_tokens": 200_000}, {"max_output_tokens"}),
        ({"name": "new", "is_default": True}, {None}),
        ({"name": "new", "context_window": True}, {"context_window"}),
        ({"name": "new", "context_window": 10**30, "max_output_tokens": 1}, {"context_window"}),
    ],
)
def test_a_bad_model_stores_nothing(
    organisation: Caller, nothing_stored: NothingStored, body: Any, fields: set[str | None]
) -> None:
    provider = make_provider(name="acme")
    make_model(provider=provider, name="taken", is_default=True)
    with nothing_stored():
        assert faults(organisation.post("/providers/acme/models", body)).keys() == fields


def test_a_bad_change_of_a_model_changes_nothing(organisation: Caller) -> None:
    model = make_model(name="small")
    found = faults(organisation.patch(f"/models/{model.pk}", {"name": "auto", "enabled": False}))
    assert found.keys() == {"name"}
    model.refresh_from_db()
    assert (model.name, model.enabled) == ("small", True)
    assert_problem(organisation.patch("/models/999999", {"enabled": False}), 404)


def test_a_list_takes_few_queries(organisation: Caller, django_assert_max_num_queries: Any) -> None:
    for number in range(5):
        organisation.post("/providers", {**REMOTE, "name": f"acme-{number}"})
    with django_assert_max_num_queries(3):
        response = organisation.get("/providers")
    assert len(items_of(response)) == 5
