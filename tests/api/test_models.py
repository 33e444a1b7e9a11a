"""Models, presets and the failover policy through the API."""

from __future__ import annotations

from typing import Any

import pytest

from providers import registry
from providers.models import Credential, Provider, ProviderModel, Secret
from providers.presets import BY_KEY
from tests.api.callers import Caller, body_of, items_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.remote import KEEPER, REMOTE, TEXT, names_of, stored_text
from tests.support.factories import make_model, make_price, make_provider

pytestmark = pytest.mark.django_db


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
        "aliases": [],
        "role": "chat",
        "enabled": True,
        "is_default": True,
        "context_window": 128_000,
        "max_output_tokens": 4096,
        "streaming": True,
        "tools": True,
        "json_mode": True,
        "vision": False,
        "audio": False,
        "cost_tier": "standard",
        "latency_tier": "standard",
        "metadata_source": "operator_override",
    }
    changed = organisation.patch(f"/models/{model['id']}", {"max_output_tokens": 100})
    assert body_of(changed)["max_output_tokens"] == 100
    assert body_of(changed)["is_default"] is True


def test_every_field_of_a_model_is_stored_and_changed(organisation: Caller) -> None:
    make_provider(name="acme")
    values = {
        "upstream_name": "vendor/listen",
        "aliases": ["hear", "acme-listen"],
        "role": "audio_transcription",
        "enabled": False,
        "is_default": True,
        "context_window": 1000,
        "max_output_tokens": 10,
        "streaming": False,
        "tools": False,
        "json_mode": False,
        "vision": True,
        "audio": True,
        "cost_tier": "low",
        "latency_tier": "slow",
    }
    said = {"provider": "acme", "metadata_source": "operator_override"}
    made = body_of(organisation.post("/providers/acme/models", {"name": "made", **values}))
    assert made == {"id": made["id"], "name": "made", **said, **values}
    organisation.patch(f"/models/{made['id']}", {"is_default": False})
    later = make_model(provider=Provider.objects.get())
    changed = body_of(organisation.patch(f"/models/{later.pk}", values))
    assert changed == {"id": str(later.pk), "name": later.name, **said, **values}
    row = ProviderModel.objects.get(pk=later.pk)
    assert (row.cost_tier, row.latency_tier) == (1, 3)


@pytest.mark.parametrize(
    ("change", "source"),
    [
        ({"enabled": False, "aliases": ["x"], "cost_tier": "low"}, "discovery"),
        ({"tools": True}, "discovery"),
        ({"tools": False}, "operator_override"),
        ({"context_window": 9000}, "operator_override"),
    ],
)
def test_who_said_last_what_a_model_can_do(organisation: Caller, change: Any, source: str) -> None:
    model = make_model(metadata_source="discovery")
    changed = body_of(organisation.patch(f"/models/{model.pk}", change))
    assert changed["metadata_source"] == source


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "new", "aliases": ["auto"]}, {"aliases"}),
        ({"name": "new", "aliases": ["acme/taken"]}, {"aliases"}),
        ({"name": "new", "aliases": "small"}, {"aliases"}),
        ({"name": "new", "aliases": [1]}, {"aliases.0"}),
        ({"name": "new", "cost_tier": "free"}, {"cost_tier"}),
        ({"name": "new", "latency_tier": 1}, {"latency_tier"}),
        ({"name": "new", "metadata_source": "static"}, {"metadata_source"}),
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
    with django_assert_max_num_queries(4):
        response = organisation.get("/providers")
    assert len(items_of(response)) == 5


class TestDeleting:
    """Only what nothing depends on can be deleted; anything else can be disabled."""

    def test_a_provider_goes_with_its_credentials_and_leaves_the_secret(
        self, organisation: Caller
    ) -> None:
        organisation.post("/providers", REMOTE)
        assert organisation.delete("/providers/acme").status_code == 204
        assert not Credential.objects.exists()
        assert Secret.objects.filter(name="acme").exists()
        assert_problem(organisation.delete("/providers/acme"), 404)

    def test_not_one_that_has_models(self, organisation: Caller) -> None:
        make_model(provider=make_provider(name="acme"))
        problem = assert_problem(organisation.delete("/providers/acme"), 409, "in_use")
        assert "Disable it instead" in problem["detail"]
        assert Provider.objects.exists()

    def test_a_model_that_has_no_price(self, organisation: Caller) -> None:
        priced, other = make_model(), make_model()
        make_price(priced)
        assert organisation.delete(f"/models/{other.pk}").status_code == 204
        assert_problem(organisation.delete(f"/models/{priced.pk}"), 409, "in_use")
        assert list(ProviderModel.objects.all()) == [priced]
        assert_problem(organisation.delete("/models/999999"), 404)


class TestPresets:
    """The usual hosts, added in one step."""

    def test_they_are_listed(self, organisation: Caller) -> None:
        listed = body_of(organisation.get("/provider-presets"))["items"]
        assert [one["preset"] for one in listed] == list(BY_KEY)
        openai = listed[0]
        assert openai["base_url"] == "https://api.openai.com/v1"
        assert openai["needs_credential"] is True
        assert {model["role"] for model in openai["models"]} == {
            "chat",
            "embeddings",
            "audio_transcription",
        }

    def test_one_is_added_with_its_key(self, organisation: Caller) -> None:
        made = organisation.post("/providers/from-preset", {"preset": "openai", "secret": TEXT})
        assert made.status_code == 201
        assert names_of(made) == ["vault:openai"]
        assert stored_text("openai") == TEXT
        assert ProviderModel.objects.count() == len(BY_KEY["openai"].models)

    def test_or_with_a_secret_that_is_named(self, organisation: Caller) -> None:
        body = {"preset": "groq", "credential": "env:GROQ_API_KEY", "models": []}
        assert names_of(organisation.post("/providers/from-preset", body)) == ["env:GROQ_API_KEY"]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"preset": "nobody"}, "preset"),
            ({}, "preset"),
            ({"preset": "openai"}, "secret"),
            ({"preset": "openai", "secret": " "}, "secret"),
            ({"preset": "azure-openai", "secret": TEXT}, "base_url"),
            ({"preset": "openai", "secret": TEXT, "credential": "env:X"}, "secret"),
            ({"preset": "openai", "credential": "vault:nowhere"}, "credential"),
            ({"preset": "openai", "secret": TEXT, "models": ["gpt-1"]}, "models"),
            ({"preset": "openai", "secret": TEXT, "name": "a b"}, "name"),
        ],
    )
    def test_a_bad_one_stores_nothing(
        self, organisation: Caller, nothing_stored: NothingStored, body: Any, field: str
    ) -> None:
        with nothing_stored():
            found = faults(organisation.post("/providers/from-preset", body))
        assert found.keys() == {field}

    @pytest.mark.parametrize(
        ("more", "permission"),
        [
            ({}, "add_credential"),
            ({"secret": None, "credential": "env:NEW_KEY"}, "add_credential"),
        ],
    )
    def test_a_key_takes_its_own_permissions(
        self, nothing_stored: NothingStored, more: Any, permission: str
    ) -> None:
        caller = signed_in(person("keeper", *KEEPER))
        body = {"preset": "openai", "secret": TEXT, **more}
        with nothing_stored():
            problem = assert_problem(caller.post("/providers/from-preset", body), 403)
        assert f"providers.{permission}" in problem["detail"]


def test_the_failover_policy_is_shown_and_changed(organisation: Caller) -> None:
    assert body_of(organisation.get("/failover-policy")) == {"enabled": True, "pinned": False}
    changed = organisation.patch("/failover-policy", {"enabled": False})
    assert body_of(changed) == {"enabled": False, "pinned": False}
    changed = organisation.patch("/failover-policy", {"pinned": True})
    assert body_of(changed) == {"enabled": False, "pinned": True}
    assert faults(organisation.patch("/failover-policy", {"pinned": None})).keys() == {"pinned"}
    looker = signed_in(person("looker", "providers.view_failoverpolicy"))
    assert looker.get("/failover-policy").status_code == 200
    assert_problem(looker.patch("/failover-policy", {"enabled": True}), 403)
    assert not registry.load().failover
