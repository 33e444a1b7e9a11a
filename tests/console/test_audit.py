"""The audit trail in the console, and the console in the audit trail."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from governance.models import AuditEntry, Team
from tests.console.conftest import signed_in, staff
from tests.support.factories import make_model, make_policy, make_price, make_provider, make_team

LIST = "admin:governance_auditentry_changelist"
PAGE = "admin:governance_auditentry_change"


def _latest() -> AuditEntry:
    entry = AuditEntry.objects.first()
    assert entry is not None
    return entry


@pytest.fixture
def disabled(browser: Client) -> Team:
    """A team, disabled by the administrator."""
    team = make_team(name="Research")
    browser.post(reverse("admin:governance_team_do", args=[team.pk, "disable"]))
    return team


def test_what_is_done_in_the_console_is_the_persons(administrator: User, disabled: Team) -> None:
    entry = _latest()

    assert (entry.actor, entry.user_id) == (administrator.username, administrator.pk)
    assert (entry.surface, entry.address) == ("console", "127.0.0.1")
    assert (entry.object_name, entry.changes) == ("Research", {"enabled": [True, False]})


def test_a_person_who_is_given_a_group_is_in_the_trail(browser: Client) -> None:
    browser.post(reverse("admin:auth_group_add"), {"name": "lookers"})

    entry = _latest()
    assert (entry.object_type, entry.action, entry.surface) == ("auth.group", "added", "console")


def test_the_entrys_page_says_from_what_to_what(browser: Client, disabled: Team) -> None:
    page = _page(browser)

    assert '<tr><th scope="row">enabled</th><td>yes</td><td>no</td></tr>' in page
    assert reverse("admin:governance_team_change", args=[disabled.pk]) in page


def test_prices_are_shown_in_dollars(browser: Client) -> None:
    price = make_price(make_model())
    price.output = 3 * 10**9
    price.save()

    page = _page(browser)

    assert "<td>$2</td><td>$3</td>" in page


def test_lists_are_shown_in_words(browser: Client) -> None:
    policy = make_policy(thresholds=[50, 75, 90])
    policy.thresholds = [80]
    policy.save()
    assert "<td>50, 75 and 90</td><td>80</td>" in _page(browser)

    team = make_team(allowed_models=["acme/one", "acme/two"])
    team.allowed_models = []
    team.save()
    assert "<td>acme/one and acme/two</td><td>–</td>" in _page(browser)


def _page(browser: Client) -> str:
    return browser.get(reverse(PAGE, args=[_latest().pk])).content.decode()


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("", True),
        ("type=governance.team", True),
        ("type=auth.group", False),
        ("action__exact=changed", True),
        ("action=deleted", False),
        ("surface=console", True),
        ("surface=api", False),
        ("surface=nowhere", True),
        ("type=nothing.of.the.kind", True),
        ("actor=root", True),
        ("actor=somebody", False),
        ("period=24h", True),
        ("period=2020-01-01", False),
        ("q=resea", True),
        ("q=elsewhere", False),
    ],
)
def test_the_list_is_filtered_and_searched(
    browser: Client, disabled: Team, query: str, seen: bool
) -> None:
    response = browser.get(f"{reverse(LIST)}?{query}")

    assert response.status_code == 200
    names = {one.object_name for one in response.context["cl"].result_list}
    assert ("Research" in names) == seen


def test_an_objects_history_is_the_trails(browser: Client, disabled: Team) -> None:
    make_team(name="Another")
    page = browser.get(reverse("admin:governance_team_history", args=[disabled.pk]))

    assert [one.object_id for one in page.context["action_list"]] == [str(disabled.pk)] * 2
    assert "Enabled: yes → no" in page.content.decode()


def test_history_is_shown_to_who_may_see_the_object(disabled: Team) -> None:
    address = reverse("admin:governance_team_history", args=[disabled.pk])

    assert signed_in(staff("looks", "governance.view_team")).get(address).status_code == 200
    assert signed_in(staff("does-not")).get(address).status_code == 403


def test_what_is_not_there_has_no_history(browser: Client) -> None:
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_history"
        for unknown in (str(uuid4()), "987654321"):
            response = browser.get(reverse(name, args=[unknown]))
            assert response.status_code in {302, 404}, (name, unknown)


def test_the_trail_is_for_who_may_see_it(disabled: Team) -> None:
    looks = signed_in(staff("looks", "governance.view_auditentry"))

    assert looks.get(reverse(LIST)).status_code == 200
    assert signed_in(staff("does-not")).get(reverse(LIST)).status_code == 403


def test_nobody_changes_it(browser: Client, disabled: Team) -> None:
    entry = _latest()
    for view in ("change", "delete"):
        address = reverse(f"admin:governance_auditentry_{view}", args=[entry.pk])
        assert browser.post(address, {"post": "yes", "actor": "nobody"}).status_code == 403
    assert browser.get(reverse("admin:governance_auditentry_add")).status_code == 403

    assert _latest() == entry


def test_disabling_a_provider_is_recorded(browser: Client) -> None:
    provider = make_provider()
    browser.post(reverse("admin:providers_provider_do", args=[provider.pk, "disable"]))

    assert _latest().changes == {"enabled": [True, False]}
    assert _latest().actor == "root"
