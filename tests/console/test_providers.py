"""Providers and models in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from providers.models import (
    FailoverPolicy,
    Provider,
    ProviderKind,
    ProviderModel,
    failover_policy,
)
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of
from tests.support.factories import (
    make_credential,
    make_model,
    make_provider,
    make_remote,
    make_secret,
)

# A form, its faults and words: once is enough; what two rows must not both be is not.
pytestmark = pytest.mark.any_database
ADD = "admin:providers_provider_add"
LIST = "/admin/providers/provider/"


def _page(provider: Provider) -> str:
    return reverse("admin:providers_provider_change", args=[provider.pk])


def _written(browser: Client, **fields: Any) -> dict[str, Any]:
    sent = filled(browser.get(reverse(ADD)).content.decode(), "provider_form")
    return {**sent, "name": "host", "kind": ProviderKind.OPENAI_COMPATIBLE.value, **fields}


def _rows(*rows: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"models-TOTAL_FORMS": len(rows), "models-INITIAL_FORMS": 0}
    for number, row in enumerate(rows):
        defaults = {
            "role": "chat",
            "enabled": "on",
            "context_window": 1000,
            "max_output_tokens": 10,
        }
        sent |= {f"models-{number}-{name}": value for name, value in {**defaults, **row}.items()}
    return sent


def test_what_is_added_by_hand_is_a_host_unless_said_otherwise(browser: Client) -> None:
    sent = filled(browser.get(reverse(ADD)).content.decode(), "provider_form")

    assert sent["kind"] == ProviderKind.OPENAI_COMPATIBLE


def test_abbreviations_stay_as_they_are(browser: Client) -> None:
    make_model(vision=True)

    page = browser.get(reverse("admin:providers_providermodel_changelist"))
    text = text_of(page.content.decode())

    assert "Tools, JSON, images" in text


def test_a_provider_is_added_with_its_models(browser: Client) -> None:
    sent = _written(browser, base_url="https://example.com/v1") | _rows(
        {"name": "small"}, {"name": "large", "is_default": "on"}
    )

    response = browser.post(reverse(ADD), sent)

    assert response.status_code == 302
    provider = Provider.objects.get()
    assert list(provider.models.values_list("name", "is_default")) == [
        ("large", True),
        ("small", False),
    ]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"base_url": "ftp://example.com/v1"}, "must begin with http:// or https://"),
        ({"base_url": "https://user:pass@example.com"}, "store the key as a secret"),
        ({"base_url": ""}, "A provider of this kind needs a base URL."),
        ({"base_url": "https://example.com", "total_timeout": "0"}, "greater than or equal to 0.5"),
        ({"base_url": "https://example.com", "name": "not a slug"}, "Enter a valid"),
    ],
)
def test_a_provider_that_cannot_be_is_refused(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    response = browser.post(reverse(ADD), _written(browser, **fields))

    assert says in text_of(response.content.decode())
    assert not Provider.objects.exists()


def test_a_password_in_an_address_is_not_given_back(browser: Client) -> None:
    sent = _written(browser, base_url="https://user:hunter2@example.com/v1")

    html = browser.post(reverse(ADD), sent).content.decode()

    assert "store the key as a secret" in html


def test_what_the_form_does_not_show_is_not_stored(browser: Client) -> None:
    address = {"base_url": "https://example.com/v1", "output_cap_field": "max_tokens"}
    for kind, stored in (
        ("deterministic", ("", "")),
        ("anthropic", ("https://example.com/v1", "")),
        ("openai_compatible", ("https://example.com/v1", "max_tokens")),
    ):
        browser.post(reverse(ADD), _written(browser, kind=kind, name=kind, **address))
        provider = Provider.objects.get(kind=kind)
        assert (provider.base_url, provider.output_cap_field) == stored


@pytest.mark.every_database
def test_every_setting_of_a_provider_is_written(browser: Client) -> None:
    values = {
        "connect_timeout": 1.5,
        "first_token_timeout": 10.0,
        "total_timeout": 20.0,
        "max_retries": 0,
        "retry_backoff_ms": 10,
        "breaker_threshold": 9,
        "breaker_cooldown": 1.0,
        "concurrency_limit": 7,
        "cache_seconds": 0,
    }
    sent = {**values, "credential_concurrency_limit": "", "base_url": "https://example.com/v1"}
    browser.post(reverse(ADD), _written(browser, **sent))

    provider = Provider.objects.get()
    assert {name: getattr(provider, name) for name in values} == values
    assert provider.credential_concurrency_limit is None


def _credentials(provider: Provider | None = None, *rows: dict[str, Any]) -> dict[str, Any]:
    initial = provider.credentials.count() if provider else 0
    sent: dict[str, Any] = {
        "credentials-TOTAL_FORMS": len(rows),
        "credentials-INITIAL_FORMS": initial,
    }
    for number, row in enumerate(rows):
        defaults = {
            "enabled": "on",
            "position": number,
            "provider": (provider and provider.pk) or "",
        }
        values = {**defaults, **row}
        sent |= {f"credentials-{number}-{name}": value for name, value in values.items()}
    return sent


class TestCredentials:
    """Secrets are chosen on the provider's page and never shown there."""

    def test_they_are_chosen_in_their_order(self, browser: Client) -> None:
        first, second = make_secret(name="first"), make_secret(name="second")
        sent = _written(browser, base_url="https://example.com/v1") | _credentials(
            None, {"secret": second.pk, "position": 1}, {"secret": first.pk, "position": 0}
        )
        assert browser.post(reverse(ADD), sent).status_code == 302

        found = Provider.objects.get().credentials.order_by("position")
        assert [one.secret for one in found] == [first, second]
        listed = text_of(browser.get(LIST).content.decode())
        assert "first, second" in listed

    @pytest.mark.every_database
    def test_the_same_twice_is_a_fault_of_the_row(self, browser: Client) -> None:
        secret = make_secret()
        rows = _credentials(None, {"secret": secret.pk}, {"secret": secret.pk})
        html = browser.post(
            reverse(ADD), _written(browser, base_url="https://example.com/v1") | rows
        ).content.decode()
        assert "This secret stands in another row as well." in html
        assert not Provider.objects.exists()

    def test_a_key_is_not_sent_to_another_host(self, browser: Client) -> None:
        provider = make_remote(name="host")
        credential = make_credential(provider)
        page = _page(provider)
        sent = filled(browser.get(page).content.decode(), "provider_form")
        html = browser.post(page, {**sent, "base_url": "https://example.net/v1"}).content.decode()
        assert "disable or replace them first" in html

        credential.enabled = False
        credential.save()
        sent = filled(browser.get(page).content.decode(), "provider_form")
        browser.post(page, {**sent, "base_url": "https://example.net/v1"})
        provider.refresh_from_db()
        assert provider.base_url == "https://example.net/v1"

    def test_who_may_not_write_them_does_not(self, db: None) -> None:
        provider = make_remote(name="host")
        secret = make_secret()
        keeper = signed_in(
            staff("keeper", "providers.change_provider", "providers.view_credential")
        )
        sent = filled(keeper.get(_page(provider)).content.decode(), "provider_form")
        rows = _credentials(provider, {"secret": secret.pk})
        keeper.post(_page(provider), {**sent, "display_name": "Renamed", **rows})
        provider.refresh_from_db()
        assert provider.display_name == "Renamed"
        assert not provider.credentials.exists()


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"name": "small"}, "This name stands in another row as well."),
        ({"name": "large", "is_default": "on"}, "Another row is the default for this role."),
        ({"name": "large", "role": "embeddings", "is_default": "on"}, None),
    ],
)
@pytest.mark.every_database
def test_rows_written_at_once_are_judged_together(
    browser: Client, second: dict[str, Any], says: str | None
) -> None:
    sent = _written(browser, base_url="https://example.com/v1") | _rows(
        {"name": "small", "is_default": "on"}, second
    )
    html = browser.post(reverse(ADD), sent).content.decode()

    assert Provider.objects.exists() is (says is None)
    if says:
        assert says in html


def test_a_kind_cannot_be_added_with_models_it_cannot_have(browser: Client) -> None:
    sent = _written(browser, kind="anthropic", base_url="https://example.com/v1")
    html = browser.post(reverse(ADD), sent | _rows({"name": "embed", "role": "embeddings"}))

    assert "has no such models" in html.content.decode()
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([], "No new call goes to this provider"),
        ([{}], "Its 1 enabled model is unknown to clients then (1 for chat)."),
        (
            [{}, {"role": "embeddings", "is_default": True}, {"enabled": False}],
            "Its 2 enabled models are unknown to clients then (1 for chat, 1 for embeddings). "
            "One of them is the default for embeddings: calls that ask for “auto” are refused",
        ),
    ],
)
def test_disabling_says_first_what_uses_it(
    browser: Client, models: list[dict[str, Any]], says: str
) -> None:
    provider = make_provider()
    for fields in models:
        make_model(provider=provider, **fields)

    assert says in text_of(browser.get(_page(provider)).content.decode())


class TestModelPage:
    """A model's own page has everything."""

    def send(self, browser: Client, model: ProviderModel, **fields: Any) -> str:
        page = reverse("admin:providers_providermodel_change", args=[model.pk])
        sent = filled(browser.get(page).content.decode(), "providermodel_form")
        reply = browser.post(page, {**sent, **fields})
        model.refresh_from_db()
        return reply.content.decode()

    def test_other_names_are_written_with_commas(self, browser: Client) -> None:
        model = make_model(aliases=["small"])
        self.send(browser, model, aliases=" small, fast ,")
        assert model.aliases == ["small", "fast"]
        assert model.metadata_source == "operator_override"
        listed = browser.get(reverse("admin:providers_providermodel_changelist"))
        assert "also small, fast" in listed.content.decode()

    def test_a_name_that_is_none_is_refused_and_shown_again(self, browser: Client) -> None:
        model = make_model()
        html = self.send(browser, model, aliases="small, two words")
        assert "Use letters, digits and" in html
        assert 'value="small, two words"' in html
        assert model.aliases == []

    def test_what_it_can_do_is_written(self, browser: Client) -> None:
        model = make_model()
        self.send(browser, model, vision="on", tools="", cost_tier="1", latency_tier="3")
        assert (model.vision, model.cost_tier, model.latency_tier) == (True, 1, 3)

    @pytest.mark.parametrize(
        ("fields", "source"),
        [
            ({}, "discovery"),
            ({"aliases": "small", "cost_tier": "1"}, "discovery"),
            ({"vision": "on"}, "operator_override"),
            ({"max_output_tokens": "17"}, "operator_override"),
        ],
    )
    def test_who_said_last_what_it_can_do(
        self, browser: Client, fields: dict[str, str], source: str
    ) -> None:
        model = make_model(metadata_source="discovery")
        self.send(browser, model, **fields)
        assert model.metadata_source == source

    def test_rows_on_the_providers_page_say_so_as_well(self, browser: Client) -> None:
        model = make_model(metadata_source="discovery")
        page = _page(model.provider)
        sent = filled(browser.get(page).content.decode(), "provider_form")
        browser.post(page, {**sent, "models-0-context_window": "5000"})
        model.refresh_from_db()
        assert (model.context_window, model.metadata_source) == (5000, "operator_override")


class TestFailover:
    """One policy on one page."""

    def test_it_is_shown_and_changed(self, browser: Client) -> None:
        page = reverse("admin:providers_failoverpolicy_changelist")
        html = browser.get(page).content.decode()
        assert "the call can go on at another provider" in text_of(html)
        sent = filled(html, "failoverpolicy_form")
        assert sent["enabled"] == "on"
        reply = browser.post(page, {**sent, "pinned": "on"}, follow=True)
        assert reply.status_code == 200
        policy = FailoverPolicy.objects.get()
        assert (policy.enabled, policy.pinned) == (True, True)

    def test_there_is_no_second_and_none_is_taken_away(self, browser: Client) -> None:
        policy = failover_policy()
        assert browser.get(reverse("admin:providers_failoverpolicy_add")).status_code == 403
        delete = reverse("admin:providers_failoverpolicy_delete", args=[policy.pk])
        assert browser.post(delete, {"post": "yes"}).status_code == 403

    def test_who_may_only_look_changes_nothing(self, db: None) -> None:
        looker = signed_in(staff("looker", "providers.view_failoverpolicy"))
        page = reverse("admin:providers_failoverpolicy_changelist")
        assert looker.get(page).status_code == 200
        assert looker.post(page, {"pinned": "on"}).status_code == 403
        assert not failover_policy().pinned


def test_rehearsal_fields_are_shown_for_rehearsals_only(browser: Client) -> None:
    html = browser.get(reverse(ADD)).content.decode()

    for shown, fields in (
        ("kind == 'deterministic'", 3),
        ("kind != 'deterministic'", 3),
        ("kind == 'openai_compatible'", 1),
    ):
        assert html.count(f'x-show="{escape(shown)}"') == fields


@pytest.mark.parametrize(
    ("kind", "shown", "hidden"),
    [
        ("deterministic", "Rehearsed failures", "Base URL"),
        ("openai_compatible", "Output cap field", "Rehearsed failures"),
        ("anthropic", "Base URL", "Output cap field"),
    ],
)
def test_who_may_only_look_sees_what_the_kind_has(
    db: None, kind: str, shown: str, hidden: str
) -> None:
    base_url = "" if kind == "deterministic" else "https://example.com/v1"
    provider = make_provider(kind=kind, base_url=base_url)
    looker = signed_in(staff("looker", "providers.view_provider"))
    said = text_of(looker.get(_page(provider)).content.decode()).lower()

    assert shown.lower() in said
    assert hidden.lower() not in said


def test_disabling_and_enabling_say_what_they_did(browser: Client) -> None:
    provider = make_provider(name="host")

    for action, enabled in (("disable", False), ("enable", True)):
        address = reverse("admin:providers_provider_do", args=[provider.pk, action])
        said = text_of(browser.post(address, follow=True).content.decode())
        provider.refresh_from_db()
        assert provider.enabled is enabled
        assert f"host is {action}d" in said


@pytest.mark.every_database
def test_another_model_becomes_the_default_in_one_step(browser: Client) -> None:
    former, other = make_model(is_default=True), make_model()

    browser.post(reverse("admin:providers_providermodel_do", args=[other.pk, "make_default"]))

    assert list(ProviderModel.objects.filter(is_default=True)) == [other]
    former.refresh_from_db()
    assert not former.is_default


def test_a_models_fields_are_named_in_the_providers_rows(browser: Client) -> None:
    provider = make_provider()
    make_model(provider=provider)

    page = reverse("admin:providers_provider_change", args=[provider.pk])
    html = browser.get(page).content.decode()

    assert 'aria-label="Context window"' in html
