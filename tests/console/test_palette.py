"""Ctrl+K reaches everything that a persona may open, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import UUIDField
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from governance.models import ApiKey, AuditEntry
from palyra_site.console import palette
from providers.admin.base import ConsoleAdmin
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff

# Parts of pages, files, and what is done rather than opened.
NOT_PAGES = {
    "login",
    "logout",
    "autocomplete",
    "jsi18n",
    "search",
    "view_on_site",
    "password_change_done",
    "scheduling_cronjob_preview",
    "governance_budgetpolicy_preview",
    # Lists of one object: the sidebar has its page.
    "governance_governancesettings_add",
    "providers_failoverpolicy_add",
}


def found(client: Client, term: str) -> list[dict[str, Any]]:
    response = client.get("/admin/search/", {"s": term, "extended": "1"})
    assert response.status_code == 200
    return list(response.context["results"])


def links(client: Client, term: str) -> set[str]:
    return {one["link"] for one in found(client, term)}


def page_of(one: Any) -> str:
    meta = one._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[one.pk])


def _addresses(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    """The names of all that can be opened without saying which object."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _addresses(pattern.url_patterns)
        elif pattern.name and not pattern.pattern.converters and not pattern.name.endswith("_csv"):
            yield pattern.name


def _reachable(client: Client) -> set[str]:
    request = client.get("/admin/").wsgi_request
    site: Any = admin.site
    sidebar = site.get_sidebar_list(request)
    return {one.link for one in palette.pages(request, site._registry, sidebar)}


def _may_open(client: Client) -> set[str]:
    names = set(_addresses(admin.site.get_urls())) - NOT_PAGES - {"app_list"}
    addresses = {reverse("mfa_index"), *(reverse(f"admin:{name}") for name in names)}
    # Some lead on at once, such as to where passwords are changed.
    return {one for one in addresses if client.get(one).status_code in {200, 302}}


@pytest.mark.parametrize(
    "permissions",
    [
        (),
        ("governance.view_modelcall",),
        ("governance.view_price", "providers.add_provider"),
        ("governance.change_team", "governance.add_team", "auth.view_user"),
    ],
)
@pytest.mark.any_database
def test_every_page_that_a_person_may_open_is_found_and_no_other(
    db: None, permissions: tuple[str, ...]
) -> None:
    client = signed_in(staff("somebody", *permissions))

    assert _reachable(client) == _may_open(client)


@pytest.mark.any_database
def test_an_administrator_reaches_every_page(browser: Client) -> None:
    reachable = _reachable(browser)

    assert reachable == _may_open(browser)
    assert len(reachable) > 30


@pytest.mark.any_database
def test_the_viewer_reaches_every_page_that_changes_nothing(seeded: Seeded) -> None:
    viewer = signed_in(seeded.viewer)

    assert _reachable(viewer) == _may_open(viewer)
    assert not any(link.endswith("/add/") for link in _reachable(viewer))


def _searched() -> Iterator[tuple[Any, ConsoleAdmin]]:
    for model, one in admin.site._registry.items():
        assert isinstance(one, ConsoleAdmin)
        if one.search_fields and model._meta.label_lower not in palette.LOOKED_THROUGH:
            yield model, one


def test_every_object_is_found_by_its_name_by_those_who_may_see_it(
    seeded: Seeded, browser: Client
) -> None:
    nobody = signed_in(staff("nobody"))
    for model, _ in _searched():
        one = model._default_manager.order_by("pk").last()
        if one is None:
            continue
        term = next(
            str(value)
            for name in ("name", "username", "title", "display_name", "source", "comment", "pk")
            if (value := getattr(one, name, None))
        )
        meta = model._meta
        looker = signed_in(
            staff(f"of-{meta.model_name}", f"{meta.app_label}.view_{meta.model_name}")
        )
        assert page_of(one) in links(looker, term), (meta.label, term)
        prefix = f"/admin/{meta.app_label}/{meta.model_name}/"
        assert all(
            link.startswith(prefix) or link in _reachable(looker) for link in links(looker, term)
        ), meta.label
        assert page_of(one) not in links(nobody, term), meta.label


def test_everything_with_an_identifier_is_found_by_it(seeded: Seeded, browser: Client) -> None:
    AuditEntry.objects.create(
        at=seeded.call.admitted_at, actor="a", action="changed", object_type="x", object_name="y"
    )
    tried = 0
    for model in admin.site._registry:
        one = model._default_manager.order_by("pk").last()
        if isinstance(model._meta.pk, UUIDField) and one is not None:
            tried += 1
            assert page_of(one) in links(browser, str(one.pk)), model
    assert tried >= 6


def test_a_runs_and_a_jobs_identifier_lead_to_their_calls(seeded: Seeded, browser: Client) -> None:
    run = seeded.run

    assert {
        page_of(run),
        reverse("admin:governance_modelcall_change", args=[run.call_id]),
    } <= links(browser, str(run.pk))
    assert page_of(seeded.job) in links(browser, str(seeded.job.pk))


def test_an_identifier_finds_nothing_for_those_who_may_not_see_it(seeded: Seeded) -> None:
    looker = signed_in(staff("looker", "scheduling.view_cronrun"))

    assert links(looker, str(seeded.call.pk)) == set()
    assert links(looker, str(seeded.run.pk)) == {page_of(seeded.run)}


def test_a_key_is_found_when_it_is_pasted(seeded: Seeded, browser: Client) -> None:
    key = ApiKey.objects.order_by("pk")[0]

    for pasted in (f"ply_{key.public_id}_some-secret", f"ply_{key.public_id}", key.last_four):
        assert page_of(key) in links(browser, pasted), pasted


def test_what_is_too_much_is_searched_on_its_own_page(seeded: Seeded, browser: Client) -> None:
    offered = {one["title"]: one["link"] for one in found(browser, "a/b & c")}

    assert offered["Calls with “a/b & c”"] == "/admin/governance/modelcall/?q=a%2Fb+%26+c"
    looker = signed_in(staff("looker", "scheduling.view_cronrun"))
    assert [one["title"] for one in found(looker, "a/b & c")] == ["Runs with “a/b & c”"]


def test_words_are_found_in_any_order(browser: Client) -> None:
    assert "/admin/governance/price/import/" in links(browser, "prices import")


def test_the_palette_takes_a_bounded_number_of_queries(
    seeded: Seeded, browser: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(40):
        found(browser, "e")
