"""Testing a provider and discovering its models in a dialog: the same views as without one."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from governance.models import Price
from palyra_site.access.roles import Role
from providers.models import Provider, ProviderModel, ProviderProbe
from tests.console.conftest import PRICED, signed_in, staff
from tests.console.pages import filled, text_of
from tests.providers.host import Host
from tests.support.factories import make_credential, make_provider, make_remote

DIALOG = {"X-Palyra-Dialog": "yes"}


def address_of(provider: Provider, action: str) -> str:
    if action == "take_over":
        return reverse("admin:providers_provider_discover", args=[provider.pk])
    return reverse("admin:providers_provider_do", args=[provider.pk, action])


def in_dialog(browser: Client, provider: Provider, action: str, **sent: Any) -> str:
    """The content of the dialog after an action."""
    reply = browser.post(address_of(provider, action), sent, headers=DIALOG)
    assert reply.status_code == 200
    assert "X-Palyra-Dialog" in reply.headers["Vary"]
    html = reply.content.decode()
    assert html.startswith("<div data-dialog-title=")
    assert "<html" not in html
    assert not list(get_messages(reply.wsgi_request))
    return html


def test_a_test_in_a_dialog_says_latency_and_models(browser: Client, acme: Provider) -> None:
    said = text_of(in_dialog(browser, acme, "test_connection"))

    assert "acme can be reached." in said
    assert "It answered in" in said and "ms and lists 2 models." in said
    assert ProviderProbe.objects.get().ok
    assert "acme can be reached." in LogEntry.objects.get().get_change_message()
    # What was said in the dialog is not said again on the next page.
    page = browser.get(reverse("admin:providers_provider_change", args=[acme.pk]))
    assert "It lists 2 models." not in text_of(page.content.decode())


def test_a_test_in_a_dialog_says_what_failed_and_what_to_do(
    browser: Client, acme: Provider
) -> None:
    make_credential(acme, "sk-a-wrong-key-of-the-tests")

    said = text_of(in_dialog(browser, acme, "test_connection"))

    assert "acme can be reached, but not with every key." in said
    assert "The host refused the key (401)." in said
    assert "The host said:" in said
    assert "sk-a-wrong-key" not in said
    assert not ProviderProbe.objects.get().ok
    assert not LogEntry.objects.exists()


def test_what_is_not_reached_leads_nowhere_but_to_another_test(browser: Client, db: None) -> None:
    away = make_remote(name="away", base_url="http://127.0.0.1:1/v1")

    said = text_of(in_dialog(browser, away, "test_connection"))

    assert "away cannot be used as it is." in said
    assert "Test again" in said
    assert "Discover models" not in said


def test_a_rehearsal_is_not_asked_in_a_dialog_either(browser: Client, db: None) -> None:
    rehearsal = make_provider(name="rehearsal")

    for action in ("test_connection", "discover_models"):
        assert "answers by itself" in text_of(in_dialog(browser, rehearsal, action))
    assert not LogEntry.objects.exists()


def test_discovery_in_a_dialog_asks_and_proposes(
    browser: Client, acme: Provider, host: Host
) -> None:
    html = in_dialog(browser, acme, "discover_models")

    assert host.asked == ["/v1/models"]
    assert 'data-dialog-title="Models of acme"' in html
    assert "The host lists 2 models: 2 new." in text_of(html)
    assert "$1 in, $2 out" in text_of(html)
    assert filled(html, "discover_form")["prices"] == "on"
    assert f'action="{address_of(acme, "take_over")}"' in html
    assert not ProviderModel.objects.exists()


def test_what_is_picked_in_a_dialog_is_taken_over_and_said_there(
    browser: Client, acme: Provider
) -> None:
    in_dialog(browser, acme, "discover_models")

    html = in_dialog(browser, acme, "take_over", models=["priced"], prices="on")

    assert "1 model added. 1 price set." in text_of(html)
    assert "data-dialog-changed" in html
    assert "Known" in text_of(html)
    assert ProviderModel.objects.get().name == "priced"
    assert Price.objects.count() == 1


def test_a_refusal_in_a_dialog_keeps_what_was_chosen(browser: Client, acme: Provider) -> None:
    in_dialog(browser, acme, "discover_models")

    html = in_dialog(browser, acme, "take_over", models=["priced", "nowhere"])

    assert "“nowhere” is not among the models that the host listed." in text_of(html)
    assert filled(html, "discover_form")["models"] == "priced"
    assert "prices" not in filled(html, "discover_form")
    assert "data-dialog-changed" not in html
    assert "Pick at least one model." in text_of(in_dialog(browser, acme, "take_over"))
    assert not ProviderModel.objects.exists()


def test_a_host_that_fails_when_asked_again_leaves_prices_to_be_set(
    browser: Client, acme: Provider, host: Host
) -> None:
    in_dialog(browser, acme, "discover_models")
    host.status = 500

    html = in_dialog(browser, acme, "discover_models")

    assert "500" in text_of(html)
    assert filled(html, "discover_form")["prices"] == "on"


def test_a_host_that_says_nothing_is_explained_in_the_dialog(
    browser: Client, acme: Provider, host: Host
) -> None:
    host.status = 404

    said = text_of(in_dialog(browser, acme, "discover_models"))

    assert "such as /v1" in said
    assert "Nothing was discovered yet." in said
    assert not LogEntry.objects.exists()


def test_the_address_itself_is_a_whole_page(browser: Client, acme: Provider) -> None:
    in_dialog(browser, acme, "discover_models")

    reply = browser.get(address_of(acme, "take_over"))

    html = reply.content.decode()
    assert "<html" in html and "Back to acme" in html
    assert "X-Palyra-Dialog" in reply.headers["Vary"]
    refused = browser.post(address_of(acme, "take_over"), {}).content.decode()
    assert "<html" in refused and "Pick at least one model." in text_of(refused)


def test_without_scripts_both_are_forms_that_lead_to_pages(browser: Client, acme: Provider) -> None:
    tested = browser.post(address_of(acme, "test_connection"))
    discovered = browser.post(address_of(acme, "discover_models"))

    assert tested["Location"] == reverse("admin:providers_provider_change", args=[acme.pk])
    assert discovered["Location"] == address_of(acme, "take_over")


def test_a_page_says_what_its_hosts_listing_has_to_review(
    browser: Client, acme: Provider, host: Host
) -> None:
    page = reverse("admin:providers_provider_change", args=[acme.pk])
    assert "last listing" not in text_of(browser.get(page).content.decode())
    in_dialog(browser, acme, "discover_models")
    assert "Its host’s last listing has 2 new models." in text_of(
        browser.get(page).content.decode()
    )

    in_dialog(browser, acme, "take_over", all="yes", prices="on")
    assert "last listing" not in text_of(browser.get(page).content.decode())
    host.models[1] = {**PRICED, "pricing": {"prompt": "0.000003", "completion": "0.000002"}}
    in_dialog(browser, acme, "discover_models")

    said = browser.get(page).content.decode()
    assert "Its host’s last listing has 1 other price than in force." in text_of(said)
    assert f'href="{address_of(acme, "take_over")}">Review it' in said
    viewer = signed_in(staff("viewer", "providers.view_provider"))
    assert "last listing" not in text_of(viewer.get(page).content.decode())


def test_looking_changes_nothing(browser: Client, acme: Provider, host: Host) -> None:
    for action in ("test_connection", "discover_models"):
        assert browser.get(address_of(acme, action), headers=DIALOG).status_code == 405
    assert not host.asked


def test_an_operator_tests_in_a_dialog_and_discovers_nothing(acme: Provider, host: Host) -> None:
    user = staff("oscar")
    user.groups.add(Group.objects.get(name=Role.OPERATOR))
    operator = signed_in(user)

    said = text_of(in_dialog(operator, acme, "test_connection"))

    assert "acme can be reached." in said
    assert "Discover models" not in said
    host.asked.clear()
    for action in ("discover_models", "take_over"):
        refused = operator.post(address_of(acme, action), {"all": "yes"}, headers=DIALOG)
        assert refused.status_code == 403
    assert not host.asked
    assert not ProviderModel.objects.exists()


def test_a_viewer_may_do_nothing_in_a_dialog(acme: Provider, host: Host) -> None:
    viewer = signed_in(staff("viewer", "providers.view_provider"))

    for action in ("test_connection", "discover_models", "take_over"):
        refused = viewer.post(address_of(acme, action), {"all": "yes"}, headers=DIALOG)
        assert refused.status_code == 403
    assert not host.asked
