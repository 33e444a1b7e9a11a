"""Providers and their credentials through the API."""

from __future__ import annotations

from typing import Any

import pytest

from palyra_site.access.groups import give_role
from palyra_site.access.roles import Role
from providers.models import Credential, Provider, Secret
from tests.api.callers import Caller, body_of, items_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.remote import KEEPER, REMOTE, TEXT, credentials_of, names_of, stored_text
from tests.support.factories import make_secret

# Rules about fields, addresses and permissions: once is enough.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

OTHER = "sk-another-credential-9876"
ACME = {"name": "vault:acme", "last_four": "1234", "enabled": True}


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

    @pytest.mark.every_database
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

    @pytest.mark.every_database
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


@pytest.mark.parametrize(
    ("role", "shown"),
    [(Role.OPERATOR, []), (Role.AUDITOR, [ACME]), (Role.ADMINISTRATOR, [ACME])],
)
def test_credentials_are_shown_to_those_who_may_see_them(
    organisation: Caller, role: Role, shown: list[dict[str, Any]]
) -> None:
    organisation.post("/providers", REMOTE)
    user = person("somebody")
    give_role(user, role)
    caller = signed_in(user)

    assert credentials_of(caller.get("/providers/acme")) == shown
    assert [one["credentials"] for one in items_of(caller.get("/providers"))] == [shown]
    text = caller.get("/providers").content.decode()
    assert ("1234" in text) == bool(shown)


def test_whoever_changes_a_provider_is_not_shown_what_they_may_not_see(
    organisation: Caller,
) -> None:
    organisation.post("/providers", REMOTE)
    keeper = signed_in(person("keeper", *KEEPER))

    assert credentials_of(keeper.patch("/providers/acme", {"max_retries": 1})) == []
