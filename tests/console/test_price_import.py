"""The console's page of listed prices."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from governance.admin import price_import
from governance.models import Price
from providers.api.health_schemas import MOST_PICKED
from providers.models import Provider
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of
from tests.support.factories import make_model, make_price, make_provider, make_remote

# What a page of picks says and sends: once is enough.
pytestmark = pytest.mark.any_database
PAGE = "admin:governance_price_import"
PRICES = "admin:governance_price_changelist"


@pytest.fixture
def claude(db: None) -> Provider:
    return make_remote(name="claude", kind="anthropic", base_url="https://api.anthropic.com")


def test_the_list_of_prices_leads_there(browser: Client) -> None:
    assert f'href="{reverse(PAGE)}"' in browser.get(reverse(PRICES)).content.decode()


def test_it_shows_what_would_change_and_changes_nothing(browser: Client, claude: Provider) -> None:
    new = make_model(provider=claude, name="claude-sonnet-4-5")
    make_price(make_model(provider=claude, name="claude-opus-4-1"))
    make_model(provider=claude, name="of-our-own")

    html = browser.get(reverse(PAGE)).content.decode()

    said = text_of(html)
    assert "1 new, 1 overridden by an operator, 1 not in the list." in said
    assert "$3 in, $15 out" in said
    assert "above 200,000 input tokens $6 in, $22.5 out" in said
    assert "an estimate" in said
    assert "The price in force was set by hand and stays." in said
    assert filled(html, "import_form")["models"] == str(new.pk)
    assert Price.objects.count() == 1


@pytest.mark.every_database
def test_what_is_picked_is_set(browser: Client, claude: Provider) -> None:
    picked = make_model(provider=claude, name="claude-sonnet-4-5")
    make_model(provider=claude, name="claude-opus-4-1")

    response = browser.post(reverse(PAGE), {"models": [picked.pk]}, follow=True)

    assert "1 price set from genai-prices" in text_of(response.content.decode())
    assert Price.objects.get().model == picked


def test_as_many_as_can_be_picked_can_be_sent(browser: Client, claude: Provider) -> None:
    picked = make_model(provider=claude, name="claude-sonnet-4-5")

    response = browser.post(reverse(PAGE), {"models": [picked.pk] * MOST_PICKED}, follow=True)

    assert "1 price set from genai-prices" in text_of(response.content.decode())


def test_no_more_are_ticked_than_can_be_sent(
    browser: Client, claude: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_import, "MOST_PICKED", 1)
    for name in ("claude-sonnet-4-5", "claude-opus-4-1"):
        make_model(provider=claude, name=name)

    html = browser.get(reverse(PAGE)).content.decode()

    assert html.count('name="models"') == 2
    assert html.count(" checked") == 1
    assert "At most 1 are set at once" in text_of(html)


def test_a_refusal_says_every_fault_and_keeps_what_was_picked(
    browser: Client, claude: Provider
) -> None:
    fine, other, own = (
        make_model(provider=claude, name=name)
        for name in ("claude-sonnet-4-5", "claude-opus-4-1", "claude-haiku-4-5")
    )
    make_price(own)

    response = browser.post(reverse(PAGE), {"models": [fine.pk, own.pk, "x"]})

    html = response.content.decode()
    said = text_of(html)
    assert "“claude/claude-haiku-4-5”: The price in force was set by hand and stays." in said
    assert "There is no model" in said
    assert f'value="{fine.pk}" checked' in html
    assert f'value="{other.pk}">' in html
    assert Price.objects.get().model == own
    nothing = browser.post(reverse(PAGE), {})
    assert "Pick at least one model." in text_of(nothing.content.decode())


def test_where_nothing_can_be_imported_there_is_no_button(browser: Client) -> None:
    make_model(provider=make_provider())

    html = browser.get(reverse(PAGE)).content.decode()

    assert "discover its models first" in text_of(html)
    assert "Set what is picked" not in html


def test_whoever_may_only_look_sets_nothing(claude: Provider) -> None:
    model = make_model(provider=claude, name="claude-sonnet-4-5")
    viewer = signed_in(staff("viewer", "governance.view_price"))

    html = viewer.get(reverse(PAGE)).content.decode()

    assert "takes the permission to add them" in text_of(html)
    assert "models" not in filled(html, "import_form")
    assert viewer.post(reverse(PAGE), {"models": [model.pk]}).status_code == 403
    assert signed_in(staff("nobody")).get(reverse(PAGE)).status_code == 403
    assert not Price.objects.exists()


@pytest.mark.parametrize("right", ["view_price", "add_price"])
def test_tiers_are_seen_and_written_with_the_right_to_the_price(
    claude: Provider, right: str
) -> None:
    person = signed_in(staff("one", f"governance.{right}", "providers.view_providermodel"))

    html = person.get(reverse("admin:governance_price_add")).content.decode()

    assert ("tiers-TOTAL_FORMS" in html) is (right == "add_price")
