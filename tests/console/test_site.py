"""The console's frame: navigation, palette, zone, people, errors of lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from governance.models import ModelCall
from palyra_site.console.navigation import GROUPS, PAGES
from providers.admin.base import ConsoleAdmin
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of

SEARCH = "/admin/search/"
FIRST = ("Overview", "Playground", "Spend")
ROUTING = ("Decisions", "Modes", "Savings")


def _entries(client: Client) -> list[str]:
    groups: list[dict[str, Any]] = client.get("/admin/").context["sidebar_navigation"]
    return [item["title"] for group in groups for item in group["items"] if item["has_permission"]]


def test_an_administrator_is_offered_everything(browser: Client) -> None:
    groups = browser.get("/admin/").context["sidebar_navigation"]

    assert [group.get("title", "") for group in groups] == [
        "",
        "Use",
        "Budgets",
        "Routing",
        "Alerts",
        "Providers",
        "Access",
        "System",
    ]
    lists = sum(len(entries) for _, entries in GROUPS)
    assert len(_entries(browser)) == 1 + lists + sum(len(pages) for pages in PAGES.values())


@pytest.mark.parametrize(
    ("permissions", "entries"),
    [
        ((), ["Overview"]),
        (("governance.view_modelcall",), [*FIRST, "Calls", *ROUTING]),
        (("governance.use_playground",), ["Overview", "Playground"]),
        (("governance.change_team", "auth.view_user"), ["Overview", "Teams", "Users"]),
    ],
)
def test_entries_are_for_those_who_may_look(
    db: None, permissions: tuple[str, ...], entries: list[str]
) -> None:
    assert _entries(signed_in(staff("somebody", *permissions))) == entries


def test_every_entry_leads_somewhere(browser: Client) -> None:
    groups = browser.get("/admin/").context["sidebar_navigation"]
    for group in groups:
        for item in group["items"]:
            assert browser.get(str(item["link"])).status_code == 200, item["title"]


def _found(client: Client, term: str) -> str:
    return client.get(SEARCH, {"s": term, "extended": "1"}).content.decode()


def test_the_palette_finds_pages_and_objects(seeded: Seeded, browser: Client) -> None:
    assert reverse("admin:governance_budgetpolicy_changelist") in _found(browser, "polic")
    assert reverse("admin:governance_team_change", args=[seeded.teams[0].pk]) in _found(
        browser, "Customer"
    )
    call = reverse("admin:governance_modelcall_change", args=[seeded.call.pk])
    assert call in _found(browser, str(seeded.call.pk))


def test_the_palette_finds_only_what_the_person_may_see(seeded: Seeded) -> None:
    somebody = signed_in(staff("somebody", "governance.view_team"))

    assert "Customer support" in _found(somebody, "Customer")
    assert "Morning digest" not in _found(somebody, "Morning")
    assert str(seeded.call.pk) not in _found(somebody, str(seeded.call.pk))
    assert "Secrets" not in _found(somebody, "secret")


def test_the_palette_forgets_what_a_person_may_no_longer_see(seeded: Seeded) -> None:
    user = staff("somebody", "governance.view_team")
    client = signed_in(user)
    assert "Customer support" in _found(client, "Customer")

    user.user_permissions.remove(Permission.objects.get(codename="view_team"))

    assert "Customer support" not in _found(client, "Customer")


def test_empty_lists_say_what_they_are_for_and_what_to_do(browser: Client) -> None:
    for name, says in (
        ("providers_provider", "Add the first provider"),
        ("providers_secret", "Add the first secret"),
        ("governance_team", "Add the first team"),
        ("governance_budgetpolicy", "Set the first limit"),
        ("governance_price", "Set the first price"),
        ("governance_apikey", "Create the first key"),
        ("scheduling_cronjob", "Schedule the first prompt"),
        ("scheduling_cronrun", "See scheduled prompts"),
    ):
        html = browser.get(reverse(f"admin:{name}_changelist")).content.decode()
        assert says in html, name


def test_an_empty_list_offers_nothing_that_is_not_allowed(db: None) -> None:
    looker = signed_in(staff("looker", "providers.view_provider"))

    html = looker.get(reverse("admin:providers_provider_changelist")).content.decode()

    assert "Add the first provider" not in html


def test_a_search_without_result_offers_everything(browser: Client) -> None:
    html = browser.get(reverse("admin:providers_provider_changelist"), {"q": "x"}).content.decode()

    assert "Nothing matches" in html
    assert "Show everything" in html


@pytest.mark.parametrize("term", ["Research", "gpt-4.1-mini", "Notebook server"])
def test_calls_are_found_by_team_model_and_key(seeded: Seeded, browser: Client, term: str) -> None:
    found = browser.get(reverse("admin:governance_modelcall_changelist"), {"q": term})

    rows: list[ModelCall] = list(found.context["cl"].result_list)
    assert rows
    for row in rows:
        assert term in {row.team.name, row.model, row.api_key.name if row.api_key else ""}


def test_a_call_is_found_by_its_id_its_run_and_its_job(seeded: Seeded, browser: Client) -> None:
    of_run = ModelCall.objects.filter(run_id__isnull=False)[0]
    for term in (of_run.pk, of_run.run_id):
        found = browser.get(reverse("admin:governance_modelcall_changelist"), {"q": str(term)})
        assert [row.pk for row in found.context["cl"].result_list] == [of_run.pk]
    found = browser.get(reverse("admin:governance_modelcall_changelist"), {"q": str(of_run.job_id)})
    assert of_run.pk in {row.pk for row in found.context["cl"].result_list}


def test_lists_take_a_bounded_number_of_queries(
    seeded: Seeded, browser: Client, django_assert_max_num_queries: Any
) -> None:
    for name in (
        "providers_provider",
        "providers_providermodel",
        "providers_secret",
        "governance_modelcall",
        "governance_budgetwindow",
        "governance_approval",
        "governance_apikey",
        "governance_team",
        "governance_price",
        "auth_user",
    ):
        with django_assert_max_num_queries(13):
            browser.get(reverse(f"admin:{name}_changelist"))


def test_users_are_added_and_given_access(browser: Client) -> None:
    add = reverse("admin:auth_user_add")
    sent = filled(browser.get(add).content.decode(), "user_form")
    password = "a-long-password-1"
    new = {"username": "nina", "role": "Member", "password1": password, "password2": password}
    browser.post(add, {**sent, **new})
    user = User.objects.get(username="nina")
    page = reverse("admin:auth_user_change", args=[user.pk])
    form = filled(browser.get(page).content.decode(), "user_form")

    browser.post(page, {**form, "role": "Operator", "first_name": "Nina"})

    user.refresh_from_db()
    assert (user.first_name, user.is_staff) == ("Nina", True)
    assert [group.name for group in user.groups.all()] == ["Operator"]
    assert user.check_password(password)


def test_the_sign_in_page_stands_alone(client: Client, db: None) -> None:
    html = client.get("/admin/login/", follow=True).content.decode()

    assert "Palyra" in text_of(html)
    assert "nav-sidebar" not in html


def test_every_empty_list_says_why_and_offers_one_thing(db: None) -> None:
    """As a class attribute: some lists are never empty for somebody who looks."""
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, ConsoleAdmin)
        if model_admin.is_list:
            assert model_admin.empty_text != ConsoleAdmin.empty_text, model
            assert model_admin.empty_action is not None, model


def test_an_empty_list_leads_nowhere_that_is_not_allowed(db: None) -> None:
    runs = reverse("admin:scheduling_cronrun_changelist")
    looker = signed_in(staff("looker", "scheduling.view_cronrun"))
    assert "See scheduled prompts" not in looker.get(runs).content.decode()

    both = signed_in(staff("both", "scheduling.view_cronrun", "scheduling.view_cronjob"))
    assert "See scheduled prompts" in both.get(runs).content.decode()
