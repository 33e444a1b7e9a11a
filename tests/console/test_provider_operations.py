"""Testing, discovering and tripping providers in the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from governance.models import Price
from palyra_site.console.provider_rows import provider_rows
from providers.metrics import MetricsRecorder
from providers.models import Breaker, Provider, ProviderModel, ProviderProbe
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of
from tests.providers.host import KEY, Host
from tests.support.factories import make_credential, make_model, make_provider, make_remote

# What hosts answer is no matter of databases; what was counted of them is.
pytestmark = pytest.mark.any_database


@pytest.fixture
def host(host: Host) -> Host:
    """It lists one more, which makes pictures."""
    host.models.append("dall-e-3")
    return host


def page_of(browser: Client, provider: Provider) -> str:
    address = reverse("admin:providers_provider_change", args=[provider.pk])
    return browser.get(address).content.decode()


def done(browser: Client, provider: Provider, action: str) -> str:
    """What the page says after an action."""
    address = reverse("admin:providers_provider_do", args=[provider.pk, action])
    return text_of(browser.post(address, follow=True).content.decode())


def discover_page(provider: Provider) -> str:
    return reverse("admin:providers_provider_discover", args=[provider.pk])


def applied(browser: Client, provider: Provider, **sent: Any) -> str:
    reply = browser.post(discover_page(provider), sent, follow=True)
    return text_of(reply.content.decode())


def test_a_connection_is_tested_in_words(browser: Client, acme: Provider) -> None:
    said = done(browser, acme, "test_connection")

    assert "acme can be reached." in said
    assert "Reached in" in said
    assert ProviderProbe.objects.get().ok
    assert "It answered in" in said


def test_each_credential_that_fails_is_said(browser: Client, acme: Provider, host: Host) -> None:
    make_credential(acme, "sk-a-wrong-key-of-the-tests")

    said = done(browser, acme, "test_connection")

    assert "The host refused the key (401)." in said
    assert "Reached in" in said
    assert "sk-a-wrong-key" not in said
    assert "Not with every key" in said
    assert "Not reached" not in said


def test_a_list_says_of_providers_in_use_what_is_wrong(browser: Client, acme: Provider) -> None:
    away = make_remote(name="away", base_url="http://127.0.0.1:1/v1")
    for provider in (acme, away):
        done(browser, provider, "test_connection")
    assert shown_in_lists(browser) == {"acme": "Enabled", "away": "Not reached"}

    done(browser, acme, "trip_breaker")
    credential = make_credential(away, KEY)
    Breaker.objects.create(
        provider=away,
        credential=credential,
        state="open",
        retry_at=timezone.now() + timedelta(minutes=1),
    )
    assert shown_in_lists(browser) == {"acme": "Tripped by hand", "away": "Held back"}

    credential.delete()
    Provider.objects.filter(pk=acme.pk).update(enabled=False)
    assert shown_in_lists(browser) == {"acme": "Disabled", "away": "Not reached"}


def shown_in_lists(browser: Client) -> dict[str, str]:
    """The state of each provider, which its list and the overview agree on."""
    providers = browser.get(reverse("admin:providers_provider_changelist")).context["cl"]
    admin: Any = site._registry[Provider]
    listed = {one.name: strip_tags(admin.state(one)) for one in providers.result_list}
    for row in provider_rows(timezone.now()):
        usual = row.health in {"Healthy", "Not looked at yet"}
        assert listed[row.provider.name] == ("Enabled" if usual else row.health)
    return listed


def test_a_rehearsal_has_no_host(browser: Client, db: None) -> None:
    provider = make_provider(name="rehearsal")

    assert "there is no host to reach" in done(browser, provider, "test_connection")
    assert "Discover models" not in text_of(page_of(browser, provider))
    assert "it has no host to ask" in text_of(browser.get(discover_page(provider)).content.decode())


def test_nothing_is_known_before_anybody_looked(browser: Client, acme: Provider) -> None:
    said = text_of(page_of(browser, acme))

    assert "Not looked at yet" in said
    assert "Calls go through." in said
    assert "Nothing was called here." in said


def test_a_breaker_is_tripped_with_its_consequence_named(browser: Client, acme: Provider) -> None:
    make_model(provider=acme)
    page = text_of(page_of(browser, acme))
    assert "Calls to its one model go on at another provider" in page
    assert "Reset breaker" not in page

    said = done(browser, acme, "trip_breaker")

    assert "acme is out of use until it is reset." in said
    assert "Tripped by hand" in said
    assert Breaker.objects.get().tripped_by == "root"
    assert "Trip breaker" not in said

    said = done(browser, acme, "reset_breaker")
    assert "Calls go to acme again." in said
    assert "Reset breaker" not in said
    assert [one.get_change_message() for one in LogEntry.objects.order_by("pk")] == [
        "acme is out of use until it is reset.",
        "Calls go to acme again.",
    ]


def test_the_last_failure_is_said_in_words(browser: Client, acme: Provider) -> None:
    Breaker.objects.create(
        provider=acme,
        credential=acme.credentials.get(),
        failures=2,
        failure_class="rate_limited",
        message="The provider answered 429.",
    )

    said = text_of(page_of(browser, acme))

    assert "Calls go through; failed in a row: 2." in said
    assert "Rate limited: The provider answered 429." in said


@pytest.mark.every_database
def test_the_last_days_calls_are_shown(browser: Client, acme: Provider) -> None:
    recorder = MetricsRecorder()
    recorder.answered(acme.pk, "small", latency_ms=200, first_token_ms=50, output_tokens=100)
    recorder.failed(acme.pk, "small", "rate_limited")
    recorder.answered(make_provider(name="other").pk, "elsewhere", latency_ms=5)
    recorder.flush()

    said = text_of(page_of(browser, acme))

    assert "small 2 rate limited 1" in said
    assert "elsewhere" not in said


def test_discovery_leads_to_a_page_that_proposes(browser: Client, acme: Provider) -> None:
    said = done(browser, acme, "discover_models")

    assert "The host lists 3 models: 2 new." in said
    assert "$1 in, $2 out" in said
    assert "discovery: acme" in said
    assert "200,000" in said
    assert "Not usable" in said
    assert "Take over all new and changed (2)" in said
    assert not ProviderModel.objects.exists()
    form = filled(browser.get(discover_page(acme)).content.decode(), "discover_form")
    assert "models" not in form
    assert form["prices"] == "on"


def test_what_is_picked_is_taken_over_with_its_price(browser: Client, acme: Provider) -> None:
    done(browser, acme, "discover_models")

    said = applied(browser, acme, models=["priced"], prices="on")

    assert "1 model added. 1 price set." in said
    assert ProviderModel.objects.get().context_window == 200_000
    assert Price.objects.get().output == 2 * 10**9


def test_all_that_is_new_is_taken_over_without_prices(browser: Client, acme: Provider) -> None:
    done(browser, acme, "discover_models")

    said = applied(browser, acme, all="yes")

    assert "2 models added. Prices stayed as they were." in said
    assert not Price.objects.exists()


def test_a_refusal_keeps_what_was_picked(browser: Client, acme: Provider) -> None:
    done(browser, acme, "discover_models")

    reply = browser.post(discover_page(acme), {"models": ["priced", "nowhere"]})

    html = reply.content.decode()
    assert "“nowhere” is not among the models that the host listed." in text_of(html)
    assert filled(html, "discover_form")["models"] == "priced"
    assert not ProviderModel.objects.exists()
    nothing = browser.post(discover_page(acme), {})
    assert "Pick at least one model." in text_of(nothing.content.decode())


def test_an_operators_model_is_marked(browser: Client, acme: Provider) -> None:
    make_model(provider=acme, name="priced", context_window=9000)

    said = done(browser, acme, "discover_models")

    assert "Set by an operator" in said
    assert "context window: 9,000 → 200,000" in said
    assert "Take over all new and changed (1)" in said


def test_a_host_that_says_nothing_is_explained(browser: Client, acme: Provider, host: Host) -> None:
    host.status = 404

    said = done(browser, acme, "discover_models")

    assert "such as /v1" in said
    assert "Nothing was discovered yet." in said


def test_a_viewer_sees_how_it_is_doing_and_can_do_nothing(acme: Provider) -> None:
    viewer = signed_in(staff("viewer", "providers.view_provider"))

    page = text_of(page_of(viewer, acme))

    assert "How it is doing" in page
    for label in ("Test connection", "Discover models", "Trip breaker"):
        assert label not in page
    assert viewer.get(discover_page(acme)).status_code == 403
    assert viewer.post(discover_page(acme), {"all": "yes"}).status_code == 403


@pytest.mark.parametrize("right", ["add", "change"])
def test_discovery_takes_the_right_to_add_and_to_change_models(
    acme: Provider, host: Host, right: str
) -> None:
    changer = signed_in(
        staff(
            "changer",
            "providers.view_provider",
            "providers.change_provider",
            f"providers.{right}_providermodel",
        )
    )

    assert "Discover models" not in text_of(page_of(changer, acme))
    address = reverse("admin:providers_provider_do", args=[acme.pk, "discover_models"])
    assert changer.post(address).status_code == 403
    assert not host.asked


def test_prices_take_the_right_to_set_them(acme: Provider) -> None:
    registrar = signed_in(
        staff(
            "registrar",
            "providers.view_provider",
            "providers.change_provider",
            "providers.add_providermodel",
            "providers.change_providermodel",
        )
    )

    assert "takes the permission to add prices" in done(registrar, acme, "discover_models")
    applied(registrar, acme, all="yes", prices="on")

    assert ProviderModel.objects.count() == 2
    assert not Price.objects.exists()
