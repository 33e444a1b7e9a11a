"""What a team may use, how its calls are routed, and what holds for the whole installation."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from governance import keys
from governance.models import ApiKey, GovernanceSettings, Team, governance_settings
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, links_of, text_of
from tests.support.factories import make_model, make_provider, make_team

# Forms and their faults: once is enough.
pytestmark = pytest.mark.any_database
SETTINGS = "admin:governance_governancesettings_changelist"


def _page(row: Team | ApiKey) -> str:
    return reverse(f"admin:governance_{row._meta.model_name}_change", args=[row.pk])


def _form(browser: Client, row: Team | ApiKey) -> dict[str, Any]:
    return filled(browser.get(_page(row)).content.decode(), f"{row._meta.model_name}_form")


def test_a_teams_models_are_written_one_a_line(browser: Client) -> None:
    team = make_team(name="Blue")
    for name in ("one", "two"):
        make_model(provider=make_provider(name=f"house-{name}"), name=name)
    sent = {**_form(browser, team), "routing_mode": "enforced"}
    browser.post(_page(team), {**sent, "allowed_models": " house-one/*\r\n\r\nopnai/* \r\n"})

    team.refresh_from_db()
    assert (team.allowed_models, team.routing_mode) == (["house-one/*", "opnai/*"], "enforced")
    assert _form(browser, team)["allowed_models"].split() == team.allowed_models
    said = text_of(browser.get(_page(team)).content.decode())
    assert "It may use 1 of the 2 models that are enabled now." in said
    assert "None is called “opnai/*”." in said
    listed = browser.get(reverse("admin:governance_team_changelist")).content.decode()
    assert "house-one/* and 1 more" in text_of(listed)


def test_a_model_without_its_provider_is_refused(browser: Client) -> None:
    team = make_team()
    said = browser.post(_page(team), {**_form(browser, team), "allowed_models": "gpt-4.1"})
    assert "“gpt-4.1” is not provider/model" in text_of(said.content.decode())
    team.refresh_from_db()
    assert team.allowed_models == []


def test_a_keys_routing_mode_is_set_when_it_is_made_and_later(browser: Client) -> None:
    team = make_team()
    add = reverse("admin:governance_apikey_add")
    sent = filled(browser.get(add).content.decode(), "apikey_form")
    browser.post(add, {**sent, "team": team.pk, "name": "Widget", "routing_mode": "dry_run"})
    key = ApiKey.objects.get()
    assert key.routing_mode == "dry_run"

    browser.post(_page(key), {**_form(browser, key), "routing_mode": ""})
    key.refresh_from_db()
    assert (key.routing_mode, key.name) == ("", "Widget")


def test_a_key_made_without_a_mode_takes_its_teams(browser: Client) -> None:
    assert keys.create(team=make_team(), name="one").record.routing_mode == ""


class TestSettings:
    """One row on one page."""

    def test_they_are_shown_and_changed(self, browser: Client) -> None:
        page = reverse(SETTINGS)
        sent = filled(browser.get(page).content.decode(), "governancesettings_form")
        assert sent["output_floor"] == "256"
        wanted = {"routing_mode": "enforced", "output_floor": "16", "spike_factor": "4"}
        assert browser.post(page, {**sent, **wanted}, follow=True).status_code == 200
        row = GovernanceSettings.objects.get()
        assert (row.routing_mode, row.output_floor, row.spike_factor) == ("enforced", 16, 4)

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"output_floor": "0"}, "greater than or equal to 1"),
            ({"routing_mode": "loud"}, "not one of the available choices"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, browser: Client, fields: dict[str, str], says: str
    ) -> None:
        page = reverse(SETTINGS)
        sent = filled(browser.get(page).content.decode(), "governancesettings_form")
        assert says in text_of(browser.post(page, {**sent, **fields}).content.decode())
        assert GovernanceSettings.objects.get().output_floor == 256

    def test_there_is_no_second_and_none_is_taken_away(self, browser: Client) -> None:
        row = governance_settings()
        assert governance_settings() == row
        assert browser.get(reverse("admin:governance_governancesettings_add")).status_code == 403
        delete = reverse("admin:governance_governancesettings_delete", args=[row.pk])
        assert browser.post(delete, {"post": "yes"}).status_code == 403

    def test_who_may_only_look_changes_nothing(self, db: None) -> None:
        looker = signed_in(staff("looker", "governance.view_governancesettings"))
        page = reverse(SETTINGS)
        assert "Settings" in text_of(looker.get(page).content.decode())
        assert looker.post(page, {"output_floor": "1"}).status_code == 403
        assert governance_settings().output_floor == 256


def test_a_teams_page_leads_to_what_is_the_teams(browser: Client) -> None:
    team = make_team()

    links = links_of(browser.get(_page(team)).content.decode())

    assert links == [
        (label, f"{reverse(f'admin:governance_{name}_changelist')}?team__id__exact={team.pk}")
        for label, name in (
            ("Its calls", "modelcall"),
            ("Keys", "apikey"),
            ("Budgets", "budgetpolicy"),
            ("Requests for more", "approval"),
        )
    ]
    for _, address in links:
        assert browser.get(address).status_code == 200
