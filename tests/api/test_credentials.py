"""Providers' credentials and secrets through the API."""

from __future__ import annotations

from typing import Any

import pytest

from palyra_site.access.groups import give_role
from palyra_site.access.roles import Role
from providers.models import Credential, Secret
from tests.api.acme import ACME, OTHER
from tests.api.callers import Caller, items_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.api.remote import KEEPER, REMOTE, TEXT, credentials_of, names_of, stored_text
from tests.support.factories import make_secret

# Rules about fields, addresses and permissions: once is enough.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


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


def test_writing_a_secret_takes_its_own_permission(nothing_stored: NothingStored) -> None:
    caller = signed_in(person("adder", "providers.add_provider", "providers.view_provider"))
    with nothing_stored():
        problem = assert_problem(caller.post("/providers", REMOTE), 403)
    assert "providers.add_secret" in problem["detail"]
    assert caller.post("/providers", {**REMOTE, "credentials": []}).status_code == 201


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
