"""Providers, their models and credentials through the API."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from providers import registry, vault
from providers.models import Credential, Provider, ProviderModel, Secret
from providers.presets import BY_KEY
from tests.api.callers import Caller, Reply, body_of, items_of, person, signed_in
from tests.api.problems import assert_problem, faults
from tests.support.factories import make_model, make_price, make_provider, make_secret

pytestmark = pytest.mark.django_db
NothingStored = Callable[[], AbstractContextManager[None]]

TEXT = "sk-a-very-secret-credential-1234"
OTHER = "sk-another-credential-9876"
REMOTE = {
    "name": "acme",
    "kind": "openai_compatible",
    "base_url": "https://api.acme.example/v1",
    "credentials": [{"secret": TEXT}],
}
ACME = {"name": "vault:acme", "last_four": "1234", "enabled": True}
# What somebody may who sets providers up.
KEEPER = (
    *("providers.view_provider", "providers.add_provider", "providers.change_provider"),
    *("providers.add_providermodel",),
)


def stored_text(name: str) -> str:
    return vault.decrypt(Secret.objects.get(name=name).ciphertext).text


def credentials_of(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status_code < 300, reply.content
    found: list[dict[str, Any]] = body_of(reply)["credentials"]
    return found


def names_of(reply: Reply) -> list[str]:
    return [one["name"] for one in credentials_of(reply)]


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


def test_a_secret_is_never_given_back(organisation: Caller) -> None:
    replies = [
        organisation.post("/providers", REMOTE),
        organisation.post("/providers", REMOTE),
        organisation.post("/providers", {**REMOTE, "name": "bad name"}),
        organisation.post("/providers/from-preset", {"preset": "openai", "secret": TEXT}),
        organisation.post("/providers/from-preset", {"preset": "nobody", "secret": TEXT}),
        organisation.get("/providers/acme"),
        organisation.get("/providers"),
    ]
    for bad in ({"name": "acme"}, {"secret": TEXT + "x" * 9000}, {"secret": [TEXT]}):
        credentials = [{"secret": TEXT, **bad}]
        replies.append(organisation.patch("/providers/acme", {"credentials": credentials}))
    ciphertext = Secret.objects.get(name="acme").ciphertext
    for reply in replies:
        assert TEXT not in reply.content.decode()
        assert ciphertext not in reply.content.decode()


class TestCredentials:
    """The list of a provider's credentials, sent whole."""

    @pytest.fixture(autouse=True)
    def acme(self, organisation: Caller) -> None:
        assert organisation.post("/providers", REMOTE).status_code == 201

    def test_a_stored_secret_is_used_by_its_name(self, organisation: Caller) -> None:
        body = {**REMOTE, "name": "second", "credentials": [{"name": "vault:acme"}]}
        assert credentials_of(organisation.post("/providers", body)) == [ACME]
        assert Secret.objects.count() == 1

    def test_one_that_is_kept_elsewhere_is_named_by_its_place(self, organisation: Caller) -> None:
        for name in ("second", "third"):
            body = {**REMOTE, "name": name, "credentials": [{"name": "env:ACME_API_KEY"}]}
            assert credentials_of(organisation.post("/providers", body)) == [
                {"name": "env:ACME_API_KEY", "last_four": "", "enabled": True}
            ]
        assert Secret.objects.count() == 2

    def test_they_are_used_in_the_order_given(self, organisation: Caller) -> None:
        given = [{"name": "file:/run/key"}, {"name": "vault:acme", "enabled": False}]
        reply = organisation.patch("/providers/acme", {"credentials": given})
        assert credentials_of(reply) == [
            {"name": "file:/run/key", "last_four": "", "enabled": True},
            {**ACME, "enabled": False},
        ]
        kept = Credential.objects.get(secret__name="acme").pk
        reply = organisation.patch("/providers/acme", {"credentials": list(reversed(given))})
        assert names_of(reply) == ["vault:acme", "file:/run/key"]
        assert Credential.objects.get(secret__name="acme").pk == kept

    def test_a_new_secret_takes_the_place_of_the_old_text(self, organisation: Caller) -> None:
        credentials = [{"secret": f"  {OTHER}\n"}]
        reply = organisation.patch("/providers/acme", {"credentials": credentials})
        assert credentials_of(reply) == [{**ACME, "last_four": "9876"}]
        assert stored_text("acme") == OTHER
        assert Secret.objects.count() == 1

    def test_or_is_stored_beside_it(self, organisation: Caller) -> None:
        given = [{"name": "vault:acme"}, {"secret": OTHER}]
        reply = organisation.patch("/providers/acme", {"credentials": given})
        assert names_of(reply) == ["vault:acme", "vault:acme-2"]
        assert (stored_text("acme"), stored_text("acme-2")) == (TEXT, OTHER)

    def test_or_where_another_is_named_that_stood_there(self, organisation: Caller) -> None:
        given = [{"secret": OTHER}, {"name": "vault:acme"}]
        reply = organisation.patch("/providers/acme", {"credentials": given})
        assert names_of(reply) == ["vault:acme-2", "vault:acme"]
        assert stored_text("acme") == TEXT

    def test_a_reference_is_not_written_over(self, organisation: Caller) -> None:
        organisation.patch("/providers/acme", {"credentials": [{"name": "env:ACME_API_KEY"}]})
        reply = organisation.patch("/providers/acme", {"credentials": [{"secret": OTHER}]})
        assert names_of(reply) == ["vault:acme-2"]
        assert Secret.objects.filter(reference="env:ACME_API_KEY").exists()

    def test_what_is_not_named_is_taken_away_and_its_secret_stays(
        self, organisation: Caller
    ) -> None:
        assert credentials_of(organisation.patch("/providers/acme", {"credentials": []})) == []
        assert Secret.objects.filter(name="acme").exists()

    def test_the_same_list_again_changes_nothing(self, organisation: Caller) -> None:
        given = {"credentials": [{"name": "vault:acme"}]}
        before = list(Credential.objects.values())
        organisation.patch("/providers/acme", given)
        assert list(Credential.objects.values()) == before

    @pytest.mark.parametrize(
        ("credentials", "field"),
        [
            ([{}], "credentials.0"),
            ([{"name": "vault:acme", "secret": TEXT}], "credentials.0"),
            ([{"name": "vault:nowhere"}], "credentials.0.name"),
            ([{"name": "acme"}], "credentials.0.name"),
            ([{"name": "env:PALYRA_SECRET_KEY"}], "credentials.0.name"),
            ([{"name": "file:/proc/self/environ"}], "credentials.0.name"),
            ([{"name": "vault:a\0b"}], "credentials.0.name"),
            ([{"name": "vault:acme"}, {"name": "vault:acme"}], "credentials.1.name"),
            ([{"name": "env:TWICE"}, {"name": "env:TWICE"}], "credentials.1"),
            ([{"secret": ""}], "credentials.0.secret"),
            ([{"secret": "   "}], "credentials.0.secret"),
            ([{"secret": "x" * 8193}], "credentials.0.secret"),
            ([{"secret": TEXT, "colour": "red"}], "credentials.0.colour"),
            ([{"name": "vault:acme"}] * 21, "credentials"),
            (None, "credentials"),
            ({"secret": TEXT}, "credentials"),
        ],
    )
    def test_a_bad_list_stores_nothing(
        self,
        organisation: Caller,
        nothing_stored: NothingStored,
        credentials: Any,
        field: str,
    ) -> None:
        with nothing_stored():
            found = faults(organisation.patch("/providers/acme", {"credentials": credentials}))
        assert found.keys() == {field}
        assert stored_text("acme") == TEXT
        assert Credential.objects.get().enabled

    def test_a_key_is_not_sent_to_another_host(self, organisation: Caller) -> None:
        elsewhere = {"base_url": "https://api.elsewhere.example/v1"}
        named = [{"name": "vault:acme"}]
        for change in (elsewhere, {**elsewhere, "credentials": named}):
            found = faults(organisation.patch("/providers/acme", change))
            assert found.keys() == {"base_url"}
        assert Credential.objects.get().enabled

    @pytest.mark.parametrize(
        ("credentials", "left"),
        [
            ([], []),
            ([{"secret": OTHER}], [{**ACME, "last_four": "9876"}]),
            ([{"name": "vault:acme", "enabled": False}], [{**ACME, "enabled": False}]),
        ],
    )
    def test_but_is_replaced_or_disabled_together_with_it(
        self, organisation: Caller, credentials: Any, left: Any
    ) -> None:
        change = {"base_url": "https://api.elsewhere.example/v1", "credentials": credentials}
        assert credentials_of(organisation.patch("/providers/acme", change)) == left

    def test_a_key_for_the_new_host_is_not_sent_to_the_old_one(self, organisation: Caller) -> None:
        """Another provider there uses the secret that stands in its place."""
        second = {**REMOTE, "name": "second", "credentials": [{"name": "vault:acme"}]}
        assert organisation.post("/providers", second).status_code == 201
        change = {
            "base_url": "https://api.elsewhere.example/v1",
            "credentials": [{"secret": OTHER}],
        }
        assert names_of(organisation.patch("/providers/acme", change)) == ["vault:acme-2"]
        assert (stored_text("acme"), stored_text("acme-2")) == (TEXT, OTHER)
        assert names_of(organisation.get("/providers/second")) == ["vault:acme"]

    @pytest.mark.parametrize("address", ["https://acme.example:99999/v1", "https://[acme/v1"])
    def test_an_address_that_is_none_is_said(self, organisation: Caller, address: str) -> None:
        found = faults(organisation.patch("/providers/acme", {"base_url": address}))
        assert found.keys() == {"base_url"}

    @pytest.mark.parametrize(
        ("credentials", "permission"),
        [
            ([], "delete_credential"),
            ([{"name": "vault:acme", "enabled": False}], "change_credential"),
            ([{"secret": OTHER}], "change_credential"),
            ([{"name": "vault:acme"}, {"name": "env:NEW_KEY"}], "add_secret"),
            ([{"name": "vault:acme"}, {"name": "vault:spare"}], "add_credential"),
            ([{"name": "vault:acme"}, {"secret": OTHER}], "add_secret"),
        ],
    )
    def test_writing_them_takes_permissions_of_their_own(
        self, nothing_stored: NothingStored, credentials: Any, permission: str
    ) -> None:
        make_secret(name="spare")
        caller = signed_in(person("keeper", *KEEPER))
        with nothing_stored():
            problem = assert_problem(
                caller.patch("/providers/acme", {"credentials": credentials}), 403
            )
        assert f"providers.{permission}" in problem["detail"]
        assert stored_text("acme") == TEXT
        assert Credential.objects.get().enabled

    def test_replacing_a_text_takes_the_secrets_permission_too(self) -> None:
        caller = signed_in(person("keeper", *KEEPER, "providers.change_credential"))
        reply = caller.patch("/providers/acme", {"credentials": [{"secret": OTHER}]})
        assert "providers.change_secret" in assert_problem(reply, 403)["detail"]
        assert stored_text("acme") == TEXT

    def test_leaving_them_as_they_are_takes_none(self) -> None:
        caller = signed_in(person("keeper", *KEEPER))
        change = {"display_name": "Acme", "credentials": [{"name": "vault:acme"}]}
        assert caller.patch("/providers/acme", change).status_code == 200


def test_another_secret_of_the_providers_name_is_not_overwritten(organisation: Caller) -> None:
    make_secret("sk-the-one-that-was-here-first", name="acme")
    assert names_of(organisation.post("/providers", REMOTE)) == ["vault:acme-2"]
    assert stored_text("acme") == "sk-the-one-that-was-here-first"


def test_a_fault_of_the_provider_keeps_its_secret_out_too(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    body = {
        **REMOTE,
        "kind": "telepathic",
        "base_url": "ftp://acme.example",
        "total_timeout": 0,
        "credentials": [{"secret": TEXT}, {"name": "vault:nowhere"}],
    }
    with nothing_stored():
        found = faults(organisation.post("/providers", body))
    assert found.keys() >= {"kind", "base_url", "total_timeout", "credentials.1.name"}


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


def test_writing_a_secret_takes_its_own_permission(nothing_stored: NothingStored) -> None:
    caller = signed_in(person("adder", "providers.add_provider", "providers.view_provider"))
    with nothing_stored():
        problem = assert_problem(caller.post("/providers", REMOTE), 403)
    assert "providers.add_secret" in problem["detail"]
    assert caller.post("/providers", {**REMOTE, "credentials": []}).status_code == 201


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
